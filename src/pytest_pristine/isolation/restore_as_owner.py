"""Putting changed relations back, by a role that owns the tables and may do nothing more.

Foreign keys hold for such a role, so that a table can be emptied only together with all that refer to it: their
closure is truncated and what the baseline had in it is written anew, referred-to tables first. Slower than the way
of `restore`, and the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter

from psycopg import sql

from pytest_pristine.errors import RestoreError
from pytest_pristine.isolation import silence
from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import TABLE, Relation
from pytest_pristine.isolation.changes import Changes
from pytest_pristine.isolation.restore import Restored, copy_in, describe_others, refresh, set_sequences
from pytest_pristine.postgres.connections import Connection

# Truncating a table truncates the partitions below it and fails unless all that refer to it go with it.
_CLOSURE = """
    WITH RECURSIVE edges(cause, effect) AS (
        SELECT confrelid, conrelid FROM pg_constraint WHERE contype = 'f'
        UNION ALL
        SELECT i.inhparent, i.inhrelid FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent WHERE p.relkind = 'p'
    ), reached(oid) AS (
        SELECT unnest(%s::oid[])
        UNION
        SELECT edges.effect FROM edges JOIN reached ON edges.cause = reached.oid
    )
    SELECT c.oid, n.nspname, c.relname, c.relkind::text
    FROM reached JOIN pg_class c ON c.oid = reached.oid JOIN pg_namespace n ON n.oid = c.relnamespace
"""

_REFERENCES = """
    SELECT conrelid, confrelid FROM pg_constraint
    WHERE contype = 'f' AND conrelid = ANY(%(oids)s) AND confrelid = ANY(%(oids)s) AND conrelid <> confrelid
"""


def restore(connection: Connection, baseline: Baseline, changes: Changes) -> Restored:
    """Put everything that changed back. The caller is in a transaction.

    Args:
        connection: To the database under test.
        baseline: The state to restore.
        changes: What to restore.

    Raises:
        RestoreError: The rows to write anew refer to each other in a circle.
    """
    counts = _count(connection, changes.tables)
    written = _rewrite(connection, baseline, changes.tables) if changes.tables else {}
    refresh(connection, baseline, changes)
    set_sequences(connection, baseline, changes)
    return Restored(
        tuple((str(table), written.get(table, n)) for table, n in zip(changes.tables, counts, strict=True)),
        tuple(describe_others(changes)),
        {**written, **dict.fromkeys(changes.views)},
    )


def _count(connection: Connection, tables: Sequence[Relation]) -> list[int]:
    counts = []
    for table in tables:
        row = connection.execute(sql.SQL("SELECT count(*) FROM ONLY {}").format(table.identifier)).fetchone()
        counts.append(0 if row is None else int(str(row[0])))
    return counts


def _rewrite(connection: Connection, baseline: Baseline, tables: Sequence[Relation]) -> dict[Relation, int]:
    """Empty the tables and all that refer to them, and fill those that had rows; gives how many each has."""
    closure = _closure(connection, tables)
    reached = {relation.oid for relation in closure}
    filled = [table for table in baseline.of_kind(TABLE) if table.oid in reached and table.oid in baseline.rows]
    targets = (
        relation.identifier if relation.kind != TABLE else sql.SQL("ONLY {}").format(relation.identifier)
        for relation in closure
    )
    with silence.silenced(connection, list(reached), silence.IN_ORIGIN_ROLE):
        connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(targets)))
        order = _referred_first(connection, filled)
        return {table: copy_in(connection, table, baseline.rows[table.oid]) for table in order}


def _closure(connection: Connection, tables: Sequence[Relation]) -> list[Relation]:
    rows = connection.execute(_CLOSURE, [[table.oid for table in tables]])
    return [Relation(int(str(oid)), str(schema), str(name), str(kind)) for oid, schema, name, kind in rows]


def _referred_first(connection: Connection, tables: Sequence[Relation]) -> list[Relation]:
    by_oid = {table.oid: table for table in tables}
    graph: dict[int, set[int]] = {oid: set() for oid in by_oid}
    for referring, referred in connection.execute(_REFERENCES, {"oids": list(by_oid)}):
        graph[int(str(referring))].add(int(str(referred)))
    try:
        return [by_oid[oid] for oid in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        names = ", ".join(str(by_oid[oid]) for oid in error.args[1])
        raise RestoreError(
            "an order in which the rows of the baseline can be written anew",
            f"tables that refer to each other in a circle: {names}",
            ["connect as a superuser, or GRANT SET ON PARAMETER session_replication_role to the role (Postgres 15)"],
        ) from None
