"""Putting changed relations back, by a role that may keep triggers and foreign keys out of it.

With `session_replication_role = replica` neither fires, so that tables can be emptied and filled in any order, and no
trigger writes while we do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import IO

import psycopg
from psycopg import sql

from pytest_pristine.isolation import silence
from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import Relation
from pytest_pristine.isolation.changes import Changes
from pytest_pristine.postgres.connections import Connection

# Rows deleted from one table beyond which its file is cut short at once, instead of by autovacuum some day:
# until then every probe would read the dead rows again.
_VACUUM_ROWS = 5000
# Bytes sent to COPY at a time.
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore put back.

    Attributes:
        rows: Each table with the number of rows that were removed, or written anew where the baseline has rows.
        others: Names of materialized views and sequences.
        rewritten: Relations that hold new versions of the baseline's rows, with their number where it is known.
        emptied: Tables from which so many rows were deleted that their files should be cut short.
    """

    rows: tuple[tuple[str, int], ...] = ()
    others: tuple[str, ...] = ()
    rewritten: Mapping[Relation, int | None] = field(default_factory=dict)
    emptied: tuple[Relation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rows or self.others)

    def __str__(self) -> str:
        tables = (f"{name} {count} {'row' if count == 1 else 'rows'}" for name, count in self.rows)
        return ", ".join((*tables, *self.others)) or "nothing"


def restore(connection: Connection, baseline: Baseline, changes: Changes) -> Restored:
    """Put everything that changed back. The caller is in a transaction.

    Args:
        connection: To the database under test, in replica role.
        baseline: The state to restore.
        changes: What to restore.
    """
    filled = [table for table in changes.tables if table.oid in baseline.rows]
    armed = [table.oid for table in changes.tables if table.oid in baseline.armed]
    with silence.silenced(connection, armed, silence.IN_REPLICA_ROLE) if armed else nullcontext():
        deleted = _delete(connection, changes.tables)
        written = {table: copy_in(connection, table, baseline.rows[table.oid]) for table in filled}
    refresh(connection, baseline, changes)
    set_sequences(connection, baseline, changes)
    return Restored(
        tuple((str(table), written.get(table, n)) for table, n in zip(changes.tables, deleted, strict=True)),
        tuple(describe_others(changes)),
        {**written, **dict.fromkeys(changes.views)},
        tuple(table for table, n in zip(changes.tables, deleted, strict=True) if n > _VACUUM_ROWS),
    )


def cut_short(connection: Connection, tables: Sequence[Relation]) -> None:
    """Give the space of deleted rows back; a table that somebody holds keeps it until the next time."""
    for table in tables:
        with suppress(psycopg.errors.LockNotAvailable):
            connection.execute(sql.SQL("VACUUM (TRUNCATE) {}").format(table.identifier))


def _delete(connection: Connection, tables: tuple[Relation, ...]) -> list[int]:
    """Empty the tables in one round trip; gives how many rows each had."""
    with connection.pipeline():
        cursors = [connection.execute(sql.SQL("DELETE FROM ONLY {}").format(table.identifier)) for table in tables]
    return [cursor.rowcount for cursor in cursors]


def copy_in(connection: Connection, table: Relation, rows: IO[bytes]) -> int:
    """Write the baseline's rows into an empty table, and count them. Rules do not see a COPY."""
    rows.seek(0)
    columns = sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Identifier, table.columns)))
    # A table may have no column of its own, and then a list of them cannot be written.
    target = table.identifier + columns if table.columns else table.identifier
    statement = sql.SQL("COPY {} FROM STDIN").format(target)
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            while chunk := rows.read(_CHUNK):
                copy.write(chunk)
        return cursor.rowcount


def refresh(connection: Connection, baseline: Baseline, changes: Changes) -> None:
    """Compute changed materialized views anew, those they read first: they were made in that order."""
    for view in changes.views:
        ending = sql.SQL(" WITH NO DATA" if view.oid in baseline.unpopulated else "")
        connection.execute(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(view.identifier) + ending)


def set_sequences(connection: Connection, baseline: Baseline, changes: Changes) -> None:
    """Set changed sequences back, in one round trip."""
    with connection.pipeline():
        for sequence in changes.sequences:
            position = baseline.positions[sequence.oid]
            connection.execute(
                "SELECT setval(%s::oid::regclass, %s, %s)",
                [sequence.oid, position.last_value, position.is_called],
            )


def describe_others(changes: Changes) -> Iterator[str]:
    """What was put back besides tables, for the log."""
    yield from (f"materialized view {view}" for view in changes.views)
    yield from (f"sequence {sequence}" for sequence in changes.sequences)
