"""The gate: one round trip that tells whether anything can have happened since the database was pristine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import sql

from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import SEQUENCE
from pytest_pristine.postgres import snapshots
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.snapshots import Snapshot

# The position comes first: what was written before it was written by transactions that had ended when the statement
# began, or had an id by the time that the next id is asked for. Session-level advisory locks leave no other trace. A
# sequence that is not logged advances without a transaction id. A table that others cannot see, because it is temporary
# or was made by a transaction that has not ended, is in nobody's way.
_LOOK = """
    SELECT pg_current_wal_flush_lsn()::text, pg_current_wal_insert_lsn()::text,
           pg_current_wal_insert_lsn() <= pg_current_wal_flush_lsn(),
           pg_current_snapshot()::text, {following},
           (SELECT array_agg(concat_ws(' ', locktype, pid, virtualtransaction, classid, objid, objsubid)) FROM pg_locks
            WHERE database = {database} AND granted AND pid <> pg_backend_pid()
              AND (locktype = 'advisory'
                   OR locktype = 'relation'
                      AND mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
                      AND EXISTS (SELECT FROM pg_class c WHERE c.oid = relation AND c.relpersistence <> 't'))),
           {moved}
"""
_DATABASE = "SELECT oid FROM pg_database WHERE datname = current_database()"
_MOVED = sql.SQL("EXISTS (SELECT FROM {} WHERE last_value <> {} OR is_called <> {})")


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
    """

    snapshot: Snapshot
    position: str | None
    inserted: str
    advisory: frozenset[str]
    blocking: frozenset[str]
    moved: bool


@dataclass
class Gate:
    """Looks at the server.

    Attributes:
        connection: To the database under test; another one when that was lost.
        baseline: Where sequences stand.
    """

    connection: Connection
    baseline: Baseline
    _query: bytes = field(init=False)

    def __post_init__(self) -> None:
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
        self._query = (
            sql.SQL(_LOOK)
            .format(database=sql.Literal(database and database[0]), following=sql.SQL(snapshots.NEXT), moved=moved)
            .as_bytes(None)
        )

    def look(self) -> Look:
        """Ask the server."""
        row = self.connection.execute(self._query, prepare=True).fetchone()
        if row is None:
            raise AssertionError("a SELECT without FROM has one row")
        position, inserted, flushed, snapshot, following, locks, moved = row
        held = [str(lock).split() for lock in locks] if isinstance(locks, Sequence) else []
        return Look(
            snapshots.read(str(snapshot), int(str(following))),
            str(position) if flushed else None,
            str(inserted),
            # Whether it is of this transaction or of the session cannot be seen: the transaction is left out.
            frozenset(f"{pid} {' '.join(key)}" for kind, pid, _, *key in held if kind == "advisory"),
            frozenset(f"{pid} {transaction}" for kind, pid, transaction, *_ in held if kind == "relation"),
            bool(moved),
        )
