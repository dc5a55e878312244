"""Writing tables anew: emptied together with all that refer to them, and filled with what the baseline had in them.

It takes longer than deleting what was added, and works where that does not: where foreign keys or triggers hold, or
rows may not be deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter

from psycopg import sql

from pytest_pristine.isolation import baseline as baselines
from pytest_pristine.isolation import silence, truncation
from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import TABLE, Relation
from pytest_pristine.isolation.restored import Spoiled
from pytest_pristine.postgres.connections import Connection

_REFERENCES = """
    SELECT conrelid, confrelid FROM pg_constraint
    WHERE contype = 'f' AND conrelid = ANY(%(oids)s) AND confrelid = ANY(%(oids)s) AND conrelid <> confrelid
"""

# Foreign keys between tables that are checked row by row. Those of partitions follow the partitioned table's.
_IMMEDIATE = """
    SELECT conrelid::regclass::oid, n.nspname, c.relname, k.conname, k.condeferrable
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE k.contype = 'f' AND k.conrelid = ANY(%(oids)s) AND k.confrelid = ANY(%(oids)s)
      AND NOT k.condeferred AND k.conparentid = 0
"""


def rewrite(
    connection: Connection, baseline: Baseline, tables: Sequence[Relation], states: Sequence[str]
) -> list[Relation]:
    """Empty the tables and all that refer to them, and fill those that had rows. The caller is in a transaction.

    Args:
        connection: To the database under test.
        baseline: The state to restore.
        tables: What to write anew.
        states: The states of triggers and rules that fire in our role.

    Returns:
        Those that it filled.
    """
    reached = truncation.reached(truncation.edges(connection), [table.oid for table in tables])
    targets = truncation.relations(connection, reached)
    if strangers := [target for target in targets if target.kind == TABLE and target.oid not in baseline]:
        # An extension's, whose rows nobody has kept.
        raise Spoiled(f"{strangers[0]}, which is not looked after, refers to what has to be written anew")
    filled = [table for table in baseline.of_kind(TABLE) if table.oid in reached and table.oid in baseline.rows]
    hidden = [table for table in filled if table.hidden]
    with silence.silenced(connection, list(reached), states):
        truncation.truncate(connection, targets)
        baselines.show(connection, hidden)
        with _in_order(connection, filled) as ordered:
            for table in ordered:
                baselines.copy_in(connection, table, baseline.rows[table.oid])
        if hidden:
            connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        baselines.hide(connection, hidden)
    return filled


@contextmanager
def _in_order(connection: Connection, tables: Sequence[Relation]) -> Iterator[Sequence[Relation]]:
    """The tables in an order in which they can be filled: referred-to ones first.

    When they refer to each other in a circle there is none, and the keys are checked at the end instead.
    """
    by_oid = {table.oid: table for table in tables}
    graph: dict[int, set[int]] = {oid: set() for oid in by_oid}
    for referring, referred in connection.execute(_REFERENCES, {"oids": list(by_oid)}):
        graph[int(str(referring))].add(int(str(referred)))
    try:
        ordered = [by_oid[oid] for oid in TopologicalSorter(graph).static_order()]
    except CycleError:
        with _deferred(connection, list(by_oid)):
            yield tables
    else:
        yield ordered


@contextmanager
def _deferred(connection: Connection, oids: Sequence[int]) -> Iterator[None]:
    """Have the foreign keys between the tables checked at the end. The caller is in a transaction: nobody sees it."""
    keys = connection.execute(_IMMEDIATE, {"oids": list(oids)}).fetchall()
    for _, schema, table, name, _ in keys:
        _alter(connection, str(schema), str(table), str(name), "DEFERRABLE INITIALLY DEFERRED")
    yield
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for _, schema, table, name, deferrable in keys:
        _alter(connection, str(schema), str(table), str(name), "DEFERRABLE" if deferrable else "NOT DEFERRABLE")


def _alter(connection: Connection, schema: str, table: str, constraint: str, deferral: str) -> None:
    statement = sql.SQL("ALTER TABLE {} ALTER CONSTRAINT {} {} {}")
    initially = sql.SQL("" if deferral.endswith("DEFERRED") else "INITIALLY IMMEDIATE")
    connection.execute(
        statement.format(sql.Identifier(schema, table), sql.Identifier(constraint), sql.SQL(deferral), initially)
    )
