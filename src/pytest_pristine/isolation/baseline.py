"""The baseline: what the migrations, and whatever the project loads after them, left in the database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from typing import IO

from psycopg import sql

from pytest_pristine.isolation import silence
from pytest_pristine.isolation.catalogue import MATERIALIZED_VIEW, SEQUENCE, TABLE, Relation
from pytest_pristine.postgres.connections import Connection

# Bytes of one table's rows that are kept in memory; what is larger goes to a temporary file.
_IN_MEMORY = 1 << 20
# Relations named by one statement, which locks each of them and its indexes at once.
BATCH = 250


@dataclass(frozen=True, slots=True)
class Position:
    """Where a sequence stands."""

    last_value: int
    is_called: bool


@dataclass(frozen=True, slots=True)
class Baseline:
    """The state that tests are restored to.

    Attributes:
        relations: All that are looked after.
        rows: The rows of each table that has any, by oid, as COPY writes them.
        positions: Where each sequence stands, by oid.
        unpopulated: Oids of materialized views that hold no data and cannot be read.
        armed: Oids of tables with triggers or rules that fire even in replica role.
    """

    relations: Sequence[Relation]
    rows: dict[int, IO[bytes]] = field(default_factory=dict)
    positions: dict[int, Position] = field(default_factory=dict)
    unpopulated: frozenset[int] = frozenset()
    armed: frozenset[int] = frozenset()

    def of_kind(self, kind: str) -> list[Relation]:
        """The relations of one kind."""
        return [relation for relation in self.relations if relation.kind == kind]

    def close(self) -> None:
        """Give the kept rows up."""
        for rows in self.rows.values():
            rows.close()


def record(connection: Connection, relations: Sequence[Relation]) -> Baseline:
    """Take the present state of the relations as the one to restore."""
    baseline = Baseline(
        relations,
        armed=silence.armed(connection),
        positions=_positions(connection, [relation for relation in relations if relation.kind == SEQUENCE]),
        unpopulated=_unpopulated(
            connection, [relation for relation in relations if relation.kind == MATERIALIZED_VIEW]
        ),
    )
    try:
        for table in _with_rows(connection, baseline.of_kind(TABLE)):
            rows = baseline.rows[table.oid] = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed with the baseline
            _copy_out(connection, table, rows)
    except BaseException:
        baseline.close()
        raise
    return baseline


def batches(relations: Sequence[Relation]) -> Iterator[Sequence[Relation]]:
    """The relations in portions that one statement can name."""
    for start in range(0, len(relations), BATCH):
        yield relations[start : start + BATCH]


def _union(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(" UNION ALL ").join(parts)


def _with_rows(connection: Connection, tables: Sequence[Relation]) -> list[Relation]:
    found: set[object] = set()
    for batch in batches(tables):
        query = _union(
            sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM ONLY {})").format(sql.Literal(table.oid), table.identifier)
            for table in batch
        )
        found |= {row[0] for row in connection.execute(query)}
    return [table for table in tables if table.oid in found]


def _copy_out(connection: Connection, table: Relation, rows: IO[bytes]) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    statement = sql.SQL("COPY (SELECT {} FROM ONLY {}) TO STDOUT").format(columns, table.identifier)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for data in copy:
            rows.write(data)


def _positions(connection: Connection, sequences: Sequence[Relation]) -> dict[int, Position]:
    found: dict[int, Position] = {}
    for batch in batches(sequences):
        query = _union(
            sql.SQL("SELECT {}, last_value, is_called FROM {}").format(sql.Literal(sequence.oid), sequence.identifier)
            for sequence in batch
        )
        for oid, last_value, is_called in connection.execute(query):
            found[int(str(oid))] = Position(int(str(last_value)), bool(is_called))
    return found


def _unpopulated(connection: Connection, views: Sequence[Relation]) -> frozenset[int]:
    rows = connection.execute(
        "SELECT oid FROM pg_class WHERE oid = ANY(%s) AND NOT relispopulated", [[view.oid for view in views]]
    )
    return frozenset(int(str(row[0])) for row in rows)
