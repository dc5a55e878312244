"""The baseline: what the migrations, and whatever the project loads after them, left in the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from tempfile import SpooledTemporaryFile
from typing import IO

from psycopg import sql

from pytest_pristine.isolation import silence
from pytest_pristine.isolation.catalogue import MATERIALIZED_VIEW, SEQUENCE, TABLE, Relation
from pytest_pristine.isolation.changes import Changes
from pytest_pristine.postgres.connections import Connection

# Bytes of one table's rows that are kept in memory; what is larger goes to a temporary file.
_IN_MEMORY = 1 << 20
# Relations named by one statement, which locks each of them and its indexes at once.
BATCH = 250

_PAGES = "SELECT pg_relation_size(%s::oid) / current_setting('block_size')::int"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a sequence stands."""

    last_value: int
    is_called: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a table, in the text format of COPY, a line each.

    Attributes:
        lines: A file of them.
        count: Their number.
        pages: How many pages the table had.
        size: Their bytes.
    """

    lines: IO[bytes]
    count: int
    pages: int
    size: int = 0

    def __iter__(self) -> Iterator[bytes]:
        self.lines.seek(0)
        return iter(self.lines)


@dataclass
class Baseline:
    """The state that tests are restored to.

    Attributes:
        relations: All that are looked after.
        rows: The rows of each table that has any, by oid.
        positions: Where each sequence stands, by oid.
        views: A digest of what each materialized view holds, by oid; None for one that holds no data.
        armed: Oids of tables with triggers or rules that fire in our role.
        statements: Those that restore relations, by their oids; see `restore`.
    """

    relations: Sequence[Relation]
    rows: dict[int, Rows] = field(default_factory=dict)
    positions: dict[int, Position] = field(default_factory=dict)
    views: dict[int, tuple[object, ...] | None] = field(default_factory=dict)
    armed: frozenset[int] = frozenset()
    statements: dict[tuple[int, ...], bytes] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._places = {relation.oid: place for place, relation in enumerate(self.relations)}

    def __contains__(self, oid: object) -> bool:
        return oid in self._places

    def count(self, relation: Relation) -> int:
        """How many rows a table or materialized view has."""
        if relation.kind == MATERIALIZED_VIEW:
            digest = self.views[relation.oid]
            return 0 if digest is None else int(str(digest[0]))
        rows = self.rows.get(relation.oid)
        return 0 if rows is None else rows.count

    def pages(self, relation: Relation) -> int:
        """How many pages a table had."""
        rows = self.rows.get(relation.oid)
        return 0 if rows is None else rows.pages

    @property
    def files(self) -> int:
        """How many files are open for the rows of its tables."""
        return sum(rows.size > _IN_MEMORY for rows in self.rows.values())

    def is_expendable(self, oid: int) -> bool:
        """Whether a table may be emptied along with another: it is looked after, had no rows, and nothing fires."""
        return oid in self and oid not in self.rows and oid not in self.armed

    def sort(self, oids: Iterable[int], *, large_objects: bool) -> Changes:
        """These of its relations as changed: in the order of the baseline, which is that of views that read views."""
        places = sorted(self._places[oid] for oid in oids)
        changed = [self.relations[place] for place in places]
        tables, views, sequences = (
            tuple(relation for relation in changed if relation.kind == kind)
            for kind in (TABLE, MATERIALIZED_VIEW, SEQUENCE)
        )
        return Changes(tables, views, sequences, large_objects)

    def of_kind(self, kind: str) -> list[Relation]:
        """The relations of one kind."""
        return [relation for relation in self.relations if relation.kind == kind]

    def close(self) -> None:
        """Give the kept rows up."""
        for rows in self.rows.values():
            rows.lines.close()

    def moved_to(self, relations: Sequence[Relation], armed: frozenset[int]) -> Baseline | None:
        """The same state of a database that was made anew, where relations may have other oids.

        Returns:
            None when the relations are not the same in all else.
        """
        new = {(relation.schema, relation.name): relation for relation in relations}
        oids = {old.oid: new[old.schema, old.name].oid for old in self.relations if (old.schema, old.name) in new}
        if {replace(old, oid=oids.get(old.oid, 0)) for old in self.relations} != set(relations):
            return None
        return Baseline(
            relations,
            {oids[oid]: rows for oid, rows in self.rows.items()},
            {oids[oid]: position for oid, position in self.positions.items()},
            {oids[oid]: digest for oid, digest in self.views.items()},
            armed,
        )


def record(connection: Connection, relations: Sequence[Relation], states: Sequence[str]) -> Baseline:
    """Take the present state of the relations as the one to restore.

    Args:
        connection: To the database under test.
        relations: Those to look after.
        states: The states of triggers and rules that fire in our role.
    """
    baseline = Baseline(relations, armed=silence.armed(connection, states))
    baseline.positions.update(_positions(connection, baseline.of_kind(SEQUENCE)))
    populated = populated_views(connection, baseline.of_kind(MATERIALIZED_VIEW))
    for view in baseline.of_kind(MATERIALIZED_VIEW):
        baseline.views[view.oid] = digest(connection, view) if view.oid in populated else None
    try:
        tables = baseline.of_kind(TABLE)
        with unhidden(connection, tables):
            for table in with_rows(connection, tables):
                baseline.rows[table.oid] = copy_out(connection, table)
    except BaseException:
        baseline.close()
        raise
    return baseline


def batches(relations: Sequence[Relation], size: int = BATCH) -> Iterator[Sequence[Relation]]:
    """The relations in portions that one statement can name."""
    for start in range(0, len(relations), size):
        yield relations[start : start + size]


@contextmanager
def unhidden(connection: Connection, tables: Iterable[Relation]) -> Iterator[None]:
    """Let the owner see all rows, in a transaction that is rolled back and that nobody else notices."""
    hidden = [table for table in tables if table.hidden]
    if not hidden:
        yield
        return
    with connection.transaction(force_rollback=True):
        show(connection, hidden)
        yield


def show(connection: Connection, tables: Iterable[Relation]) -> None:
    """Let the owner of tables see all of their rows."""
    for table in tables:
        connection.execute(sql.SQL("ALTER TABLE {} NO FORCE ROW LEVEL SECURITY").format(table.identifier))


def hide(connection: Connection, tables: Iterable[Relation]) -> None:
    """Undo `show`."""
    for table in tables:
        connection.execute(sql.SQL("ALTER TABLE {} FORCE ROW LEVEL SECURITY").format(table.identifier))


def _union(parts: Iterable[sql.Composable]) -> sql.Composed:
    return sql.SQL(" UNION ALL ").join(parts)


def with_rows(connection: Connection, tables: Sequence[Relation]) -> list[Relation]:
    """Those of the tables that have a row."""
    found: set[object] = set()
    for batch in batches(tables):
        query = _union(
            sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM ONLY {})").format(sql.Literal(table.oid), table.identifier)
            for table in batch
        )
        found |= {row[0] for row in connection.execute(query)}
    return [table for table in tables if table.oid in found]


def copy_out(connection: Connection, table: Relation) -> Rows:
    """All rows of a table."""
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    statement = sql.SQL("COPY (SELECT {} FROM ONLY {}) TO STDOUT").format(columns, table.identifier)
    lines: IO[bytes] = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - closed with the baseline
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for data in copy:
                lines.write(data)
        count = cursor.rowcount
    size = connection.execute(_PAGES, [table.oid]).fetchone()
    return Rows(lines, count, int(str(size[0])) if size else 0, lines.tell())


def holds(connection: Connection, table: Relation, rows: Rows | None) -> bool:
    """Whether a table holds these rows, whatever their order."""
    present = copy_out(connection, table)
    try:
        return Counter(present) == Counter(rows or ())
    finally:
        present.lines.close()


def populated_views(connection: Connection, views: Sequence[Relation]) -> frozenset[int]:
    """Oids of those materialized views that hold data and can be read."""
    rows = connection.execute(
        "SELECT oid FROM pg_class WHERE oid = ANY(%s) AND relispopulated", [[view.oid for view in views]]
    )
    return frozenset(int(str(row[0])) for row in rows)


def digest(connection: Connection, view: Relation) -> tuple[object, ...] | None:
    """What tells the content of a materialized view from any other, whatever the order of its rows."""
    # A column may have the alias's name, and then the alias alone would mean that column.
    query = sql.SQL(
        """
        SELECT count(*), sum(hashtextextended(ROW(v.*)::text, 0)), sum(hashtextextended(ROW(v.*)::text, 1)) FROM {} v
        """
    )
    return connection.execute(query.format(view.identifier)).fetchone()


def _positions(connection: Connection, sequences: Sequence[Relation]) -> Mapping[int, Position]:
    """Where sequences stand.

    One that was advanced has up to 32 numbers logged ahead, and can move on without a trace in the WAL and without a
    transaction id. Set to where it stands it has none: its next number is seen.
    """
    found: dict[int, Position] = {}
    for batch in batches(sequences):
        query = _union(
            sql.SQL("SELECT {}, last_value, is_called, log_cnt FROM {}").format(
                sql.Literal(sequence.oid), sequence.identifier
            )
            for sequence in batch
        )
        for oid, last_value, is_called, ahead in connection.execute(query).fetchall():
            found[int(str(oid))] = Position(int(str(last_value)), bool(is_called))
            if ahead:
                connection.execute("SELECT setval(%s::oid::regclass, %s, %s)", [oid, last_value, is_called])
    return found


def copy_in(connection: Connection, table: Relation, lines: Iterable[bytes]) -> int:
    """Write rows into a table, and count them. Rules do not see a COPY.

    Args:
        connection: To the database under test.
        table: The table.
        lines: In the text format of COPY.
    """
    columns = sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Identifier, table.columns)))
    # A table may have no column of its own, and then a list of them cannot be written.
    target = table.identifier + columns if table.columns else table.identifier
    with connection.cursor() as cursor:
        with cursor.copy(sql.SQL("COPY {} FROM STDIN").format(target)) as copy:
            for line in lines:
                copy.write(line)
        return cursor.rowcount


def complete(connection: Connection, table: Relation, rows: Rows) -> int:
    """Write those rows that a table lacks; it holds no others. Gives their number."""
    present = copy_out(connection, table)
    try:
        there = Counter(present)
    finally:
        present.lines.close()
    return copy_in(connection, table, _lacking(rows, there))


def _lacking(rows: Rows, there: Counter[bytes]) -> Iterator[bytes]:
    for line in rows:
        if there[line] > 0:
            there[line] -= 1
        else:
            yield line
