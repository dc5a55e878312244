"""Which enum values tests stored: those in rows that were not there before, and those that statements gave."""

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
_FRESH = sql.SQL("(xmin::text::bigint - %(since)s::bigint + 4294967296) %% 4294967296 < 2147483648")
_VALUES = sql.SQL("SELECT DISTINCT {}::bigint, {}::text FROM ONLY {} WHERE ")
_ELEMENTS = sql.SQL("SELECT DISTINCT {}::bigint, e::text FROM ONLY {} t, unnest(t.{}) e WHERE ")

# Texts of statements that are kept.
_KEPT = 1024
_read = functools.lru_cache(_KEPT)(assignments.read)


def mark(connection: Connection) -> int:
    """The id of the next transaction: rows of it and of later ones are fresh."""
    row = connection.execute(_NEXT).fetchone()
    return int(str(row and row[0]))


class Rows:
    """Asks tables for the enum values in their fresh rows. Its statements are composed once for each set of tables."""

    def __init__(self, connection: Connection, schema: Schema) -> None:
        self._connection = connection
        self._schema = schema
        self._columns = [column for column in schema.enum_columns if column.is_stored]
        self.relations = frozenset(column.relation for column in self._columns)
        self._queries: dict[frozenset[int], bytes] = {}
        # Only rows that were there before can be written again by a restore, and look fresh then.
        self.filled = frozenset(oid for oid in self.relations if self._has_rows(oid))

    def _has_rows(self, relation: int) -> bool:
        column = next(column for column in self._columns if column.relation == relation)
        query = sql.SQL("SELECT EXISTS (SELECT FROM ONLY {})").format(sql.Identifier(column.schema, column.table))
        row = self._connection.execute(query).fetchone()
        return row is not None and bool(row[0])

    def explained(self, touched: Collection[int]) -> set[int]:
        """The tables all of whose values are known to be stored by some test."""
        missing = {
            column.relation
            for column in self._columns
            if not set(self._schema.labels.get(column.type, {}).values()) <= set(touched)
        }
        return set(self.relations) - missing

    def values(self, relations: Collection[int], since: int) -> Iterator[int]:
        """Numbers of the values in fresh rows of some tables. If somebody locks one of them it is none."""
        wanted = self.relations.intersection(relations)
        if not wanted:
            return
        query = self._queries.get(wanted)
        if query is None:
            parts = [_query(column) for column in self._columns if column.relation in wanted]
            query = self._queries[wanted] = sql.SQL(" UNION ").join(parts).as_bytes(None)
        try:
            rows = self._connection.execute(query, {"since": since}, prepare=True).fetchall()
        except psycopg.errors.LockNotAvailable:
            return
        except psycopg.ProgrammingError:
            return  # the test changed the schema
        for type_, label in rows:
            number = self._schema.labels.get(int(str(type_)), {}).get(str(label))
            if number is not None:
                yield number


def _query(column: EnumColumn) -> sql.Composed:
    name, table = (
        sql.SQL(sql.Identifier(*names).as_string(None).replace("%", "%%"))
        for names in ((column.column,), (column.schema, column.table))
    )
    type_ = sql.Literal(column.type)
    asked = _ELEMENTS.format(type_, table, name) if column.is_array else _VALUES.format(type_, name, table)
    return asked + _FRESH


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
    """Whether each value of it was written to some row. Of an UPDATE that was run many times it is not known."""
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
