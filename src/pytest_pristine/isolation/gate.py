"""The gate: one round trip that tells whether anything can have happened since the database was pristine.

Where the WAL can be read the same round trip brings what was written, as it is as a rule little, and by transactions
that have ended. What is not brought is found out by those who ask for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from psycopg import errors, sql

from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import SEQUENCE
from pytest_pristine.isolation.changes import Mark
from pytest_pristine.postgres import snapshots, wal
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.prepared import Prepared
from pytest_pristine.postgres.snapshots import Snapshot
from pytest_pristine.postgres.wal import Flushed, Reader, Write

# The positions come first: what was written before was written by transactions that had ended when the statement began,
# or had an id by the time that the next id is asked for. All is flushed when both are the same. Session-level advisory
# locks leave no other trace. A sequence that is not logged advances without a transaction id. A table that others
# cannot see, because it is temporary or was made by a transaction that has not ended, is in nobody's way.
_LOOK = """
    SELECT pg_current_wal_flush_lsn()::text, pg_current_wal_insert_lsn()::text,
           pg_current_snapshot()::text, {following},
           (SELECT string_agg(concat_ws(' ', locktype, pid, virtualtransaction, classid, objid, objsubid), ',')
            FROM pg_locks
            WHERE database = {database} AND granted AND pid <> pg_backend_pid()
              AND (locktype = 'advisory'
                   OR locktype = 'relation'
                      AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                      AND EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND c.relpersistence <> 't'))),
           {moved}
"""
_DATABASE = "SELECT oid FROM pg_database WHERE datname = current_database()"
_MOVED = sql.SQL("EXISTS (SELECT FROM {} WHERE last_value <> {} OR is_called <> {})")

# A look, and what was written up to it, unless nothing was committed, somebody has a transaction open, or too much was
# written. The order matters: what is read was written by transactions that the snapshot saw end, or that had an id by
# the time that the next id is asked for. Within a transaction the server gives the same answer to that again.
_DECLARE = sql.SQL("""
    CREATE OR REPLACE PROCEDURE pg_temp.pristine_look(
        since text, near bigint, expected text, own xid[],
        OUT flushed text, OUT inserted text, OUT snapshot text, OUT following bigint, OUT locks text, OUT moved bool,
        OUT until text, OUT next bigint, OUT taken text, OUT written text)
    LANGUAGE plpgsql AS {}
""")
_BODY = """
    BEGIN
        {look} INTO flushed, inserted, snapshot, following, locks, moved;
        IF snapshot = expected OR split_part(snapshot, ':', 3) <> ''
           OR (following - split_part(snapshot, ':', 2)::bigint) % 4294967296 <> 0
           OR inserted::pg_lsn - since::pg_lsn > near THEN
            RETURN;
        END IF;
        IF flushed = inserted THEN
            until := inserted;
        ELSE
            {flush}
        END IF;
        COMMIT;
        next := {following};
        written := (SELECT string_agg(coalesce(relation::text, ''), ',') FROM ({read}) AS writes);
    END
"""
_CALL = sql.SQL("CALL pg_temp.pristine_look($1, $2, $3, $4, {})").format(sql.SQL(", ").join([sql.NULL] * 10))
_NEXT = sql.SQL(snapshots.NEXT)
_TRUE = "t"


@dataclass(frozen=True, slots=True)
class Ahead:
    """What was read ahead.

    Attributes:
        flushed: Up to where.
        writes: What was written, by transactions that had ended if none has begun since.
    """

    flushed: Flushed
    writes: frozenset[Write]


@dataclass(frozen=True, slots=True)
class Look:
    """What the gate saw.

    Attributes:
        snapshot: Which transactions had ended.
        position: Up to where the WAL was flushed; None when more was written than that.
        inserted: Up to where it was written.
        advisory: Advisory locks that other sessions hold in the database: pid and key.
        blocking: Transactions of other sessions that hold a lock on a table which keeps others from reading or writing
            it: pid and virtual transaction id.
        moved: A sequence that is not logged stands elsewhere.
        ahead: What was read in the WAL; None when it was not.
    """

    snapshot: Snapshot
    position: str | None
    inserted: str
    advisory: frozenset[str]
    blocking: frozenset[str]
    moved: bool
    ahead: Ahead | None = None


@dataclass
class Gate:
    """Looks at the server.

    Attributes:
        connection: To the database under test; another one when that was lost.
        baseline: Where sequences stand.
        reader: Reads the WAL, where there is a way.
    """

    connection: Connection
    baseline: Baseline
    reader: Reader | None
    _look: Prepared = field(init=False)
    _look_ahead: Prepared | None = field(init=False)

    def __post_init__(self) -> None:
        look = self._composed()
        self._look = Prepared(self.connection, "look", look)
        self._look_ahead = None if self.reader is None else self._declare(self.reader, look)

    def look(self) -> Look:
        """Ask the server."""
        return _read(self._look.ask())

    def look_ahead(self, since: Mark, near: int) -> Look:
        """Ask the server, and read on in the WAL while we are there.

        Args:
            since: From where the WAL tells of all changes.
            near: Bytes of WAL up to which it is read.
        """
        if self._look_ahead is None or not since.is_told:
            return self.look()
        expected = "" if since.foretold is None else str(since.foretold)
        own = ",".join(map(snapshots.short, since.own))
        try:
            *seen, until, following, taken, written = self._look_ahead.ask(
                since.position, str(near), expected, f"{{{own}}}"
            )
        except wal.UNREADABLE:
            return self.look()
        look = _read(seen)
        if until is None:
            return look
        flushed = Flushed(until, int(str(following)), () if taken is None else (int(taken),))
        oids = [] if written is None else written.split(",")
        return replace(look, ahead=Ahead(flushed, frozenset((int(oid) if oid else None, 0) for oid in oids)))

    def _composed(self) -> sql.Composed:
        sequences = [sequence for sequence in self.baseline.of_kind(SEQUENCE) if sequence.unlogged]
        parts: list[sql.Composable] = [
            _MOVED.format(
                sequence.identifier,
                sql.Literal(self.baseline.positions[sequence.oid].last_value),
                sql.Literal(self.baseline.positions[sequence.oid].is_called),
            )
            for sequence in sequences
        ]
        moved = sql.SQL(" OR ").join(parts or [sql.SQL("false")])
        database = self.connection.execute(_DATABASE).fetchone()
        return sql.SQL(_LOOK).format(database=sql.Literal(database and database[0]), following=_NEXT, moved=moved)

    def _declare(self, reader: Reader, look: sql.Composed) -> Prepared | None:
        """Have the server read ahead, where it can."""
        since, until, own = map(sql.Identifier, ("since", "until", "own"))
        as_position = sql.SQL("{}::pg_lsn")
        read = reader.query(
            start=as_position.format(since), until=as_position.format(until), own=own, writers=sql.SQL("false")
        )
        flush = reader.flushing(until, sql.Identifier("taken"))
        body = sql.SQL(_BODY).format(look=look, flush=flush, following=_NEXT, read=read)
        try:
            self.connection.execute(_DECLARE.format(sql.Literal(body.as_string(self.connection))))
        except (errors.InsufficientPrivilege, errors.UndefinedObject):
            return None  # no temporary schema, or no PL/pgSQL
        return Prepared(self.connection, "look_ahead", _CALL)


def _read(row: Sequence[str | None]) -> Look:
    flushed, inserted, snapshot, following, locks, moved = row
    held = [lock.split() for lock in locks.split(",")] if locks else []
    return Look(
        snapshots.read(str(snapshot), int(str(following))),
        flushed if flushed == inserted else None,
        str(inserted),
        # Whether it is of this transaction or of the session cannot be seen: the transaction is left out.
        frozenset(f"{pid} {' '.join(key)}" for kind, pid, _, *key in held if kind == "advisory"),
        frozenset(f"{pid} {transaction}" for kind, pid, transaction, *_ in held if kind == "relation"),
        moved == _TRUE,
    )
