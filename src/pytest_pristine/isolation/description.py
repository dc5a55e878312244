"""What a test wrote, for people: what a restore would put back, told before it does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import Relation
from pytest_pristine.isolation.changes import Changes
from pytest_pristine.isolation.freshness import FRESH, Fresh
from pytest_pristine.postgres.connections import Connection

_COUNT = sql.SQL("SELECT count(*) FILTER (WHERE {fresh}), count(*) FILTER (WHERE NOT {fresh}) FROM ONLY {table}")
_KEY = """
    SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = %s AND i.indisprimary
"""
# Rows up to which it is found out which of them are other versions of rows that were there.
_COMPARED = 100_000


@dataclass(frozen=True, slots=True)
class TableChange:
    """How the rows of a table differ from the baseline's.

    Attributes:
        table: The table.
        added: Rows that are new.
        changed: Rows that were there, with other content. Where a table has no primary key, a row that went and another
            that came count as one.
        removed: Rows that are gone.
    """

    table: str
    added: int
    changed: int
    removed: int

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed)

    def __str__(self) -> str:
        parts = [
            *([f"+{self.added}"] if self.added else []),
            *([f"-{self.removed}"] if self.removed else []),
            *([f"{self.changed} changed"] if self.changed else []),
        ]
        return f"{self.table} {' and '.join(parts)}"


@dataclass(frozen=True, slots=True)
class Description:
    """What is not as in the baseline.

    Attributes:
        tables: Tables with other rows.
        others: What else, in words.
    """

    tables: Sequence[TableChange] = ()
    others: Sequence[str] = ()

    def __str__(self) -> str:
        return ", ".join([*map(str, self.tables), *self.others])


def describe(connection: Connection, baseline: Baseline, changes: Changes, fresh: Fresh) -> Description:
    """What is not as in the baseline: "orders +3", "users +1 and 2 changed", "sequence orders_id_seq".

    Args:
        connection: To the database under test.
        baseline: What was there.
        changes: What may be different.
        fresh: Which rows were written since.
    """
    if changes.schema.catalogues:
        return Description((), [f"the schema: {', '.join(changes.schema.altered) or 'a change of the catalogues'}"])
    hidden = [table for table in changes.tables if table.hidden]
    tables = [_of_table(connection, baseline, table, fresh) for table in changes.tables if not table.hidden]
    others = [
        # To see them takes a lock that nobody may have who reads.
        *(f"{table}, perhaps: its rows are hidden from our role" for table in hidden),
        *(f"materialized view {view}" for view in changes.views),
        *(f"sequence {sequence}" for sequence in changes.sequences),
        *(["large objects"] if changes.large_objects else []),
    ]
    return Description([table for table in tables if table], others)


def _of_table(connection: Connection, baseline: Baseline, table: Relation, fresh: Fresh) -> TableChange:
    row = connection.execute(_COUNT.format(fresh=FRESH, table=table.escaped), fresh.parameters).fetchone()
    new, kept = (int(str(number)) for number in row or (0, 0))
    lost = baseline.count(table) - kept
    changed = min(new, lost)
    if changed and max(new, baseline.count(table)) <= _COMPARED:
        key = _key(connection, table)
        if key:
            changed = len(_fresh_keys(connection, table, key, fresh) & _keys(baseline.rows[table.oid], table, key))
    return TableChange(str(table), new - changed, changed, lost - changed)


def _key(connection: Connection, table: Relation) -> Sequence[str]:
    """The columns of a primary key that hold data of their own; none where there is no such key."""
    names = {str(row[0]) for row in connection.execute(_KEY, [table.oid])}
    return [name for name in table.columns if name in names] if names <= set(table.columns) else []


def _fresh_keys(connection: Connection, table: Relation, key: Sequence[str], fresh: Fresh) -> set[bytes]:
    """The keys of fresh rows, in the text format of COPY, in which the baseline keeps rows."""
    columns = sql.SQL(", ").join(map(sql.Identifier, key))
    query = sql.SQL("COPY (SELECT {} FROM ONLY {} WHERE {}) TO STDOUT").format(columns, table.escaped, FRESH)
    # COPY takes no parameters: they are put in on this side.
    text = psycopg.ClientCursor(connection).mogrify(query, fresh.parameters)
    with connection.cursor() as cursor, cursor.copy(sql.SQL(text)) as copy:
        return set(b"".join(copy).removesuffix(b"\n").split(b"\n"))


def _keys(rows: Iterable[bytes], table: Relation, key: Sequence[str]) -> set[bytes]:
    """The keys of the baseline's rows."""
    places = [table.columns.index(name) for name in key]
    lines = (line.rstrip(b"\n").split(b"\t") for line in rows)
    return {b"\t".join(fields[place] for place in places) for fields in lines}
