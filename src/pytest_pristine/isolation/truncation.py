"""Emptying large tables: TRUNCATE takes the same time for any number of rows, DELETE does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import psycopg
from psycopg import sql

from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import TABLE, Relation
from pytest_pristine.isolation.restored import Written
from pytest_pristine.postgres.connections import Connection

# Bytes from which a table is worth truncating, and those that take as long to delete as one more table to truncate.
_LARGE, _BYTES_PER_TABLE = 512 * 1024, 64 * 1024
# Milliseconds to wait for the lock. TRUNCATE stands behind a session that only read, DELETE does not.
_PATIENCE = 20

# Truncating a table truncates the partitions below it and fails unless all that refer to it go with it.
_EDGES = """
    SELECT confrelid, conrelid FROM pg_constraint WHERE contype = 'f'
    UNION
    SELECT i.inhparent, i.inhrelid FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent WHERE p.relkind = 'p'
"""
_NAMES = """
    SELECT c.oid, n.nspname, c.relname, c.relkind::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (%s)
"""

# Which tables go with a table, by oid.
Edges: TypeAlias = Mapping[int, Sequence[int]]


def edges(connection: Connection) -> Edges:
    """What refers to each table directly, and the partitions of each."""
    found: dict[int, list[int]] = {}
    for cause, effect in connection.execute(_EDGES):
        found.setdefault(int(str(cause)), []).append(int(str(effect)))
    return found


def reached(edges: Edges, oids: Iterable[int]) -> set[int]:
    """All that must be truncated with these tables, themselves included."""
    seen, left = set(oids), list(oids)
    while left:
        new = [oid for oid in edges.get(left.pop(), ()) if oid not in seen]
        seen.update(new)
        left.extend(new)
    return seen


def relations(connection: Connection, oids: Iterable[int]) -> list[Relation]:
    """The tables with these oids, as far as it takes to truncate them."""
    rows = connection.execute(_NAMES, [list(oids)])
    return [Relation(int(str(oid)), str(schema), str(name), str(kind)) for oid, schema, name, kind in rows]


def truncate(connection: Connection, relations: Sequence[Relation]) -> None:
    """Empty tables at once, but not the heirs of those that have some."""
    targets = (
        relation.identifier if relation.kind != TABLE else sql.SQL("ONLY {}").format(relation.identifier)
        for relation in relations
    )
    connection.execute(sql.SQL("TRUNCATE {}").format(sql.SQL(", ").join(targets)))


def truncate_large(
    connection: Connection, baseline: Baseline, tables: Sequence[Relation], written: Written
) -> tuple[Relation, ...]:
    """Truncate those tables for which it is faster than deleting; gives the others.

    None is that had rows, or drags one along that had, or that nobody looks after. Sessions of the test may read one of
    them still: then it is left to DELETE.
    """
    done: set[Relation] = set()
    known = edges(connection)
    for table, size in large(connection, [each for each in tables if not baseline.count(each)]):
        dragged = reached(known, [table.oid])
        if len(dragged) * _BYTES_PER_TABLE > size or not all(map(baseline.is_expendable, dragged)):
            continue
        try:
            with connection.transaction():
                connection.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(_PATIENCE)))
                truncate(connection, relations(connection, dragged))
                written.note(connection)
        except psycopg.errors.LockNotAvailable:
            continue
        written.rows[table] = None
        done.add(table)
    return tuple(table for table in tables if table not in done)


def large(connection: Connection, tables: Sequence[Relation]) -> list[tuple[Relation, int]]:
    """Those of the tables that are worth truncating, with their sizes in bytes."""
    rows = connection.execute(
        "SELECT oid, pg_relation_size(oid) FROM unnest(%s::oid[]) oid", [[table.oid for table in tables]]
    )
    sizes = {int(str(oid)): int(str(size)) for oid, size in rows}
    return [(table, sizes[table.oid]) for table in tables if sizes[table.oid] >= _LARGE]
