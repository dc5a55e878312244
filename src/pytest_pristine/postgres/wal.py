"""Reading from the WAL which relations were written.

The functions of the extension pg_walinspect do the reading. A superuser declares them in the temporary schema of the
connection: no extension is installed anywhere, and nothing is left when the connection ends. Positions are LSNs as
Postgres writes them, `0/1C12000`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from psycopg import errors, sql

from pytest_pristine.postgres import snapshots
from pytest_pristine.postgres.connections import Connection

# Major versions: the first with pg_walinspect, the first whose function gives blocks one by one, and the first in
# which a message can be flushed without a transaction.
_FIRST, _FIRST_WITH_BLOCKS, _FIRST_WITH_FLUSH = 15, 16, 17

# What versions call these functions, and the columns that we read in the order in which they give them.
_DECLARE_BLOCKS = """
    CREATE FUNCTION pg_temp.pg_get_wal_block_info(
        IN start pg_lsn, IN until pg_lsn, IN data bool, OUT start_lsn pg_lsn, OUT end_lsn pg_lsn, OUT prev_lsn pg_lsn,
        OUT block_id int2, OUT reltablespace oid, OUT reldatabase oid, OUT relfilenode oid, OUT relforknumber int2,
        OUT relblocknumber int8, OUT xid xid, OUT resource_manager text, OUT record_type text, OUT record_length int4,
        OUT main_data_length int4, OUT block_data_length int4, OUT block_fpi_length int4, OUT block_fpi_info text[],
        OUT description text, OUT block_data bytea, OUT block_fpi_data bytea)
    RETURNS SETOF record LANGUAGE c STRICT AS '$libdir/pg_walinspect', 'pg_get_wal_block_info'
"""
_DECLARE_RECORDS = """
    CREATE FUNCTION pg_temp.pg_get_wal_records_info(
        IN start pg_lsn, IN until pg_lsn, OUT start_lsn pg_lsn, OUT end_lsn pg_lsn, OUT prev_lsn pg_lsn, OUT xid xid,
        OUT resource_manager text, OUT record_type text, OUT record_length int4, OUT main_data_length int4,
        OUT fpi_length int4, OUT description text, OUT block_ref text)
    RETURNS SETOF record LANGUAGE c STRICT AS '$libdir/pg_walinspect', 'pg_get_wal_records_info'
"""

# What Postgres says when a part of the WAL is not there any more, or not yet.
UNREADABLE = (errors.InternalError_, errors.UndefinedFile, errors.InvalidParameterValue)

# Records that change no row: locks, cleaning up after dead rows, and statistics overwritten in place. What is not
# named here counts as a change.
_HARMLESS = (
    "LOCK", "LOCK_UPDATED", "INPLACE", "CLEAN", "PRUNE", "PRUNE_ON_ACCESS", "PRUNE_VACUUM_SCAN",
    "PRUNE_VACUUM_CLEANUP", "VACUUM", "FREEZE_PAGE", "VISIBLE", "NEW_CID",
)  # fmt: skip

# Writes to the rows of tables, catalogues among them, and to sequences: an index never changes alone. With writers,
# each transaction that wrote is told apart. What was rolled back is left out, unless it is a sequence's. Its full id is
# the latest one up to that of the snapshot with the same lower half.
_FROM_BLOCKS = """
    WITH files AS MATERIALIZED (
        SELECT reltablespace AS space, reldatabase AS database, relfilenode AS node, xid,
               bool_or(resource_manager = 'Sequence') AS stays
        FROM {functions}.pg_get_wal_block_info({start}, {until}, false)
        WHERE relforknumber = 0 AND resource_manager IN ('Heap', 'Heap2', 'Sequence')
          AND replace(record_type, '+INIT', '') <> ALL ({harmless}) AND xid <> ALL ({own}::xid[])
        GROUP BY 1, 2, 3, 4
    )
    SELECT DISTINCT pg_filenode_relation(space, node)::oid AS relation, CASE WHEN {writers} THEN xid ELSE '0' END AS xid
    FROM files WHERE database IN (0, {database}) AND (stays OR {aborted} IS NOT TRUE)
"""
# The first block of such a record is the relation's own: "blkref #0: rel 1663/16384/16398 fork main blk 0".
_FROM_RECORDS = """
    WITH names AS MATERIALIZED (
        SELECT split_part(block_ref, ' ', 4) AS name, xid, bool_or(resource_manager = 'Sequence') AS stays
        FROM {functions}.pg_get_wal_records_info({start}, {until})
        WHERE block_ref IS NOT NULL AND resource_manager IN ('Heap', 'Heap2', 'Sequence')
          AND replace(record_type, '+INIT', '') <> ALL ({harmless}) AND xid <> ALL ({own}::xid[])
        GROUP BY 1, 2
    ), files AS (
        SELECT split_part(name, '/', 1)::oid AS space, split_part(name, '/', 2)::oid AS database,
               split_part(name, '/', 3)::oid AS node, xid, stays
        FROM names
    )
    SELECT DISTINCT pg_filenode_relation(space, node)::oid AS relation, CASE WHEN {writers} THEN xid ELSE '0' END AS xid
    FROM files WHERE database IN (0, {database}) AND (stays OR {aborted} IS NOT TRUE)
"""

# Whether the transaction of a record was rolled back.
_PRESENT = "(SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint)"
_ABORTED = sql.SQL(
    f"pg_xact_status(({_PRESENT} - mod({_PRESENT} - xid::text::bigint, 4294967296))::text::xid8) = 'aborted'"
)

# A relation's oid with the lower half of the id of a transaction that wrote to it, 0 when that was not asked for. What
# has no relation any more, such as the former file of a truncated table, is None.
Write: TypeAlias = tuple[int | None, int]


@dataclass
class Reader:
    """Reads the WAL of a cluster.

    Attributes:
        connection: To the database whose relations are asked for.
        database: Its oid.
        functions: The schema with the functions of pg_walinspect.
    """

    connection: Connection
    database: int
    functions: sql.Identifier
    _query: bytes = field(init=False)

    def __post_init__(self) -> None:
        names = ("start", "until", "own", "writers")
        self._query = self.query(**{name: sql.Placeholder(name) for name in names}).as_bytes(None)

    @property
    def _flushes_by_message(self) -> bool:
        return _major(self.connection) >= _FIRST_WITH_FLUSH

    def flushing(self, until: sql.Identifier, taken: sql.Identifier) -> sql.Composed:
        """Statements of a procedure in PL/pgSQL that do what `flush` does.

        Args:
            until: The variable that gets the position.
            taken: The text variable that gets the id of the transaction that it took.
        """
        if self._flushes_by_message:
            return sql.SQL("{} := {};").format(until, _MESSAGE)
        statements = sql.SQL("PERFORM {}; {} := {}; {} := pg_current_xact_id()::text; COMMIT;")
        return statements.format(_COMMIT_FLUSHES, until, _MESSAGE_OF_TRANSACTION, taken)

    def query(
        self, *, start: sql.Composable, until: sql.Composable, own: sql.Composable, writers: sql.Composable
    ) -> sql.Composed:
        """The query that `written` asks, for other statements; its columns are `relation` and `xid`."""
        text = _FROM_BLOCKS if _major(self.connection) >= _FIRST_WITH_BLOCKS else _FROM_RECORDS
        return sql.SQL(text).format(
            functions=self.functions, start=start, until=until, own=own, writers=writers,
            harmless=sql.Literal(list(_HARMLESS)), database=sql.Literal(self.database), aborted=_ABORTED,
        )  # fmt: skip

    def written(self, start: str, until: str, own: Sequence[int], *, writers: bool) -> set[Write]:
        """What was written between two positions, by transactions that ended and by those that did not.

        Args:
            start: The earlier position.
            until: The later one, which must have been flushed.
            own: Full ids of our own transactions, whose writes are left out.
            writers: Tell who wrote.

        Raises:
            psycopg.DatabaseError: That part of the WAL is not there any more.
        """
        if start == until:
            return set()
        ours = [snapshots.short(xid) for xid in own]
        parameters = {"start": start, "until": until, "own": ours, "writers": writers}
        rows = self.connection.execute(self._query, parameters, prepare=True)
        return {(None if oid is None else int(str(oid)), int(str(xid))) for oid, xid in rows}

    def flush(self) -> Flushed:
        """Have all that was written flushed, for only then it can be read."""
        if self._flushes_by_message:
            position, following = self._ask(_FLUSH)
            return Flushed(position, int(following), ())
        _, position, taken = self._ask(_FLUSH_BY_COMMIT)
        (following,) = self._ask(_ASK_NEXT)
        return Flushed(position, int(following), (int(taken),))

    def _ask(self, query: bytes) -> list[str]:
        row = self.connection.execute(query, prepare=True).fetchone()
        if row is None:
            raise AssertionError("a SELECT without FROM has one row")
        return [str(value) for value in row]


# A message outside a transaction takes no transaction id, and is flushed where it is asked for. In older versions a
# commit flushes, whatever the session has set. A message gives the position at which it ends. The server's own word for
# how far it has flushed may lie within a record, which nobody would read: not who reads up to there, nor who reads on.
_MESSAGE = sql.SQL("pg_logical_emit_message(false, 'pytest-pristine', '', true)")
_MESSAGE_OF_TRANSACTION = sql.SQL("pg_logical_emit_message(true, 'pytest-pristine', '')")
_COMMIT_FLUSHES = sql.SQL("set_config('synchronous_commit', 'local', true)")

_NEXT = sql.SQL(snapshots.NEXT)
_FLUSH = sql.SQL("SELECT {}::text, {}").format(_MESSAGE, _NEXT).as_bytes(None)
_FLUSH_BY_COMMIT = (
    sql.SQL("SELECT {}, {}::text, pg_current_xact_id()::text")
    .format(_COMMIT_FLUSHES, _MESSAGE_OF_TRANSACTION)
    .as_bytes(None)
)
_ASK_NEXT = sql.SQL("SELECT {}").format(_NEXT).as_bytes(None)


@dataclass(frozen=True, slots=True)
class Flushed:
    """That all was flushed.

    Attributes:
        position: Up to where.
        following: The next transaction id to be given, seen after that.
        own: Full ids of the transactions that it took.
    """

    position: str
    following: int
    own: tuple[int, ...]


def reader(connection: Connection) -> Reader | None:
    """A reader, where there is pg_walinspect and the role may use it; else None."""
    functions = _declared(connection) or _installed(connection)
    row = connection.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()
    if row is None or functions is None:
        return None
    return Reader(connection, int(str(row[0])), functions)


def _declared(connection: Connection) -> sql.Identifier | None:
    """The temporary schema, with the function that reads; None when it cannot be had."""
    if _major(connection) < _FIRST:
        return None
    declare = _DECLARE_BLOCKS if _major(connection) >= _FIRST_WITH_BLOCKS else _DECLARE_RECORDS
    try:
        connection.execute(declare)
    except (errors.InsufficientPrivilege, errors.UndefinedFile, errors.UndefinedFunction):
        return None
    return sql.Identifier("pg_temp")


_INSTALLED = """
    SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
    WHERE e.extname = 'pg_walinspect' AND has_schema_privilege(n.oid, 'USAGE')
      AND NOT EXISTS (SELECT FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                      WHERE d.refobjid = e.oid AND NOT has_function_privilege(p.oid, 'EXECUTE'))
"""


def _installed(connection: Connection) -> sql.Identifier | None:
    """The schema of the extension where the database has it, and whoever installed it let us use it."""
    row = connection.execute(_INSTALLED).fetchone()
    return None if row is None else sql.Identifier(str(row[0]))


def _major(connection: Connection) -> int:
    return connection.info.server_version // 10000


def distance(start: str, until: str) -> int:
    """Bytes between two positions in the WAL."""
    return _bytes(until) - _bytes(start)


def _bytes(position: str) -> int:
    high, low = position.split("/")
    return (int(high, 16) << 32) + int(low, 16)
