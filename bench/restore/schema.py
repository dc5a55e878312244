"""The schema that is measured, and what a test writes into it.

Every table has a bigserial key, a unique text, a jsonb, a timestamp with an index, and a foreign key to the table made
before it. By default that is one chain of all tables, in which whatever cascades from the first reaches the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import LiteralString

from psycopg import sql
from servers import Connection

# Tables made by one transaction.
_BATCH = 100
# Rows that a test writes into a dirty table, and into one of them where it writes in bulk.
ROWS, BULK_ROWS = 3, 100_000
# Rows of the lookup table that is part of the baseline.
LOOKUP_ROWS = 100_000

_TABLE = sql.SQL("""
    CREATE TABLE {table} (
        id bigserial PRIMARY KEY, email text NOT NULL UNIQUE, data jsonb NOT NULL,
        at timestamptz NOT NULL DEFAULT now(), previous bigint {references}
    )
""")
_INDEX = sql.SQL("CREATE INDEX ON {} (at)")
_LOOKUP = """
    CREATE TABLE lookup (id integer PRIMARY KEY, code text NOT NULL UNIQUE, name text NOT NULL);
    INSERT INTO lookup SELECT n, 'code-' || n, 'name of ' || n FROM generate_series(1, 100000) n;
"""
# Where nothing is undone, the same test runs again on what it wrote.
_INSERT = sql.SQL("""
    INSERT INTO {} (email, data)
    SELECT gen_random_uuid() || '@example.org', '{{"a": 1, "b": [1, 2, 3]}}' FROM generate_series(1, {})
""")


def name(number: int) -> sql.Identifier:
    """The name of a table."""
    return sql.Identifier(f"table_{number:04}")


def ddl(tables: int, chain: int = 0) -> Iterator[sql.Composed]:
    """The statements that make the schema.

    Args:
        tables: How many there are.
        chain: After how many the chain of foreign keys breaks; 0 for never.
    """
    for number in range(tables):
        is_first = number % (chain or tables) == 0
        references = sql.SQL("" if is_first else "REFERENCES {}").format(name(number - 1))
        yield _TABLE.format(table=name(number), references=references)
        yield _INDEX.format(name(number))


def create(connection: Connection, tables: int, chain: int = 0, *, lookup: bool = False) -> None:
    """Make the schema in an empty database, and have the catalogues in order."""
    statements = ddl(tables, chain)
    while batch := list(islice(statements, _BATCH)):
        with connection.pipeline(), connection.transaction():
            for statement in batch:
                connection.execute(statement)
    if lookup:
        connection.execute(_LOOKUP)
    connection.execute("VACUUM (ANALYZE)")


@dataclass(frozen=True, slots=True)
class Work:
    """What a test does.

    Attributes:
        statements: What it runs, in one transaction.
        tables: Those it writes to.
        title: In words.
    """

    statements: Sequence[sql.Composed]
    tables: Sequence[sql.Identifier]
    title: str

    def do(self, connection: Connection) -> None:
        """Run the statements. The caller is in a transaction."""
        for statement in self.statements:
            connection.execute(statement)

    def count(self, connection: Connection) -> int:
        """How many rows there are in the tables that it writes to."""
        counts = (sql.SQL("(SELECT count(*) FROM {})").format(table) for table in self.tables)
        query = sql.SQL("SELECT 0 + {}").format(sql.SQL(" + ").join([*counts, sql.Literal(0)]))
        row = connection.execute(query).fetchone()
        return 0 if row is None else int(str(row[0]))


def reading(tables: int) -> Work:
    """A test that reads one row that is not there, and writes nothing."""
    query = sql.SQL("SELECT * FROM {} WHERE id = 1").format(name(tables // 2))
    return Work([query], [], "reads")


def writing(numbers: Sequence[int], *, bulk: bool = False) -> Work:
    """A test that inserts a few rows into each of some tables and, in bulk, a hundred thousand into one of them."""
    large = numbers[len(numbers) // 2]
    statements = [
        _INSERT.format(name(number), sql.Literal(BULK_ROWS if bulk and number == large else ROWS)) for number in numbers
    ]
    return Work(statements, list(map(name, numbers)), f"{'bulk' if bulk else 'small'}, {len(numbers)} dirty")


def spread(tables: int, dirty: int) -> list[int]:
    """Some of the tables, at equal distances."""
    return [(2 * number + 1) * tables // (2 * dirty) for number in range(dirty)]


def last(tables: int, dirty: int) -> list[int]:
    """The last ones: nothing else refers to them."""
    return list(range(tables - dirty, tables))


# The rows that are written to lie at equal distances, as they do when a test picks its own.
_CHANGES: dict[str, LiteralString] = {
    "insert": "INSERT INTO lookup SELECT 100000 + n, 'new-' || n, 'new' FROM generate_series(1, {}) n",
    "update": "UPDATE lookup SET name = 'changed' WHERE id IN (SELECT 9973 * n FROM generate_series(1, {}) n)",
    "delete": "DELETE FROM lookup WHERE id IN (SELECT 9973 * n FROM generate_series(1, {}) n)",
}


def changing_lookup(rows: int) -> Iterator[tuple[str, Work]]:
    """Tests that write to some rows of the lookup table: in words, and the test."""
    for verb, statement in _CHANGES.items():
        work = Work([sql.SQL(statement).format(sql.Literal(rows))], [sql.Identifier("lookup")], f"{verb} {rows}")
        yield work.title, work
