"""Which enum values tests stored: those that are in rows which were not there before, and those that statements gave."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import psycopg
from psycopg import sql

from pytest_pristine.postgres.connections import Connection
from pytest_pristine.verify.schema_coverage import assignments
from pytest_pristine.verify.schema_coverage.assignments import Assignments
from pytest_pristine.verify.schema_coverage.objects import EnumColumn, Schema

# Ids of transactions in rows have 32 bits, and begin anew.
_NEXT = "SELECT (pg_snapshot_xmax(pg_current_snapshot())::text::numeric % 4294967296)::bigint"
_VALUES = sql.SQL("SELECT DISTINCT {}::bigint, {}::text FROM ONLY {} WHERE {}")
_ELEMENTS = sql.SQL("SELECT DISTINCT {}::bigint, e::text FROM ONLY {} t, unnest(t.{}) e WHERE {}")
_FRESH = sql.SQL("(xmin::text::bigint - {} + 4294967296) % 4294967296 < 2147483648")

# Texts of statements that are kept.
_KEPT = 1024
_read = functools.lru_cache(_KEPT)(assignments.read)


def mark(connection: Connection) -> int:
    """The id of the next transaction: rows of it and of later ones are fresh."""
    row = connection.execute(_NEXT).fetchone()
    return int(str(row and row[0]))


def in_rows(connection: Connection, schema: Schema, relations: Collection[int], since: int) -> Iterator[int]:
    """Numbers of the values in fresh rows of some tables. A table that somebody locks is passed over."""
    for column in schema.enum_columns:
        if column.is_stored and column.relation in relations:
            try:
                rows = connection.execute(_query(column, since)).fetchall()
            except psycopg.Error:
                continue
            for type_, label in rows:
                number = schema.labels.get(int(str(type_)), {}).get(str(label))
                if number is not None:
                    yield number


def _query(column: EnumColumn, since: int) -> sql.Composed:
    name, table = sql.Identifier(column.column), sql.Identifier(column.schema, column.table)
    fresh = _FRESH.format(sql.Literal(since))
    if column.is_array:
        return _ELEMENTS.format(sql.Literal(column.type), table, name, fresh)
    return _VALUES.format(sql.Literal(column.type), name, table, fresh)


def given(schema: Schema, statement: str, parameters: object, context: Any) -> Iterator[int]:  # noqa: ANN401
    """Numbers of the values that a statement of SQLAlchemy stored in columns of enums.

    Args:
        schema: The schema.
        statement: Its text as the driver got it.
        parameters: The same of its parameters.
        context: SQLAlchemy's ExecutionContext, which knows how many rows it wrote; without it nothing is known.
    """
    cursor = getattr(context, "cursor", None)
    if cursor is None or not schema.enum_columns:
        return
    found = _read(statement)
    if found is None:
        return
    every = parameters if getattr(context, "executemany", False) and isinstance(parameters, list) else [parameters]
    if not _wrote_all(found, int(cursor.rowcount), len(every)):
        return
    for column in _columns(schema, found):
        labels = schema.labels.get(column.type, {})
        for label in _labels(found, column, every):
            if label in labels:
                yield labels[label]


def _wrote_all(found: Assignments, rows: int, times: int) -> bool:
    """Whether each value of it was written to some row. Of an UPDATE that was run with many parameters none is known."""
    if found.rows:
        return rows == found.rows * times
    return rows > 0 and times == 1


def _columns(schema: Schema, found: Assignments) -> Iterable[EnumColumn]:
    columns = [
        column
        for column in schema.enum_columns
        if column.table == found.table and found.schema in (None, column.schema) and not column.is_array
    ]
    # Without a schema it is known which table that is if there is but one of the name.
    return columns if len({space for space, name in schema.names if name == found.table}) == 1 or found.schema else ()


def _labels(found: Assignments, column: EnumColumn, every: Iterable[object]) -> Iterator[str]:
    defaulted = found.rows and column.column not in found.columns
    if (defaulted or column.column in found.defaults) and column.default is not None:
        yield column.default
    for name, value in found.values:
        if name == column.column:
            for parameters in every:
                label = value.among(parameters)
                label = getattr(label, "value", label) if not isinstance(label, str) else label
                if isinstance(label, str):
                    yield str(label)
