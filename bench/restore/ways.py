"""The ways to undo what a test committed, without a test runner around them.

Only `undo` is timed. A test writes through a connection of its own, as an application does; `rollback` alone makes it
share the transaction that is undone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import LiteralString

import schema
from product import Product
from psycopg import sql
from pytest_clean_db.connection import PostgreSQLConnection  # type: ignore[import-not-found]
from pytest_clean_db.dialect import postgres as clean_db  # type: ignore[import-not-found]
from pytest_postgresql.janitor import DatabaseJanitor  # type: ignore[import-not-found]
from schema import Work
from servers import Connection, World, connect

# What takes longer is an error.
_LIMIT = "SET statement_timeout TO '60s'"


class Way(ABC):
    """A way to undo what a test did to a database of the way's own.

    Attributes:
        isolates: It undoes anything.
        is_constant: It takes the same time whatever the test wrote.
    """

    isolates = True
    is_constant = False

    def __init__(self, world: World, database: str, template: str, tables: int) -> None:
        """Set up.

        Args:
            world: The server and the role.
            database: The way's own database, a copy of the template.
            template: The template.
            tables: How many tables it has.
        """
        self.world, self.database, self.template, self.tables = world, database, template, tables
        self.client = self.connect()

    def connect(self) -> Connection:
        """Open a connection to the database."""
        return connect(self.world.database(self.database))

    def before(self) -> None:  # noqa: B027 - most ways have nothing to do
        """Prepare for tests after others have used the server; not timed."""

    def test(self, work: Work) -> None:
        """Be the test, which commits what it writes; not timed."""
        with self.client.pipeline(), self.client.transaction():
            work.do(self.client)

    @abstractmethod
    def undo(self) -> None:
        """Undo what the test did; timed."""

    def count(self, work: Work) -> int:
        """How many rows there are in the tables that a test writes to."""
        return work.count(self.client)

    def close(self) -> None:
        """End what was opened."""
        self.client.close()


class Nothing(Way):
    """No isolation: the floor."""

    isolates = False

    def undo(self) -> None:
        """Leave everything as it is."""


class RoundTrip(Way):
    """Asking the server anything and waiting for its answer: what everything else is made of."""

    isolates = False

    def undo(self) -> None:
        """Ask."""
        self.client.execute("SELECT 1", prepare=True)


class Pristine(Way):
    """pytest-pristine, at the interface that its fixture `clean_database` uses."""

    def __init__(self, world: World, database: str, template: str, tables: int) -> None:
        super().__init__(world, database, template, tables)
        self._product = Product(world.database(database))

    def before(self) -> None:
        """Be as before a first test."""
        self._product.prepare()

    def undo(self) -> None:
        """Restore."""
        self._product.restore()

    def close(self) -> None:
        """End what was opened."""
        self._product.close()
        super().close()


class Rollback(Way):
    """The test runs in a transaction that is rolled back, and cannot commit."""

    def test(self, work: Work) -> None:
        """Be the test: it does not commit."""
        self.client.execute("BEGIN")
        with self.client.pipeline():
            work.do(self.client)

    def undo(self) -> None:
        """Roll back."""
        self.client.execute("ROLLBACK")


class _Statement(Way):
    """One statement, or several sent at once, composed beforehand and run on a connection that stays open."""

    def __init__(self, world: World, database: str, template: str, tables: int) -> None:
        super().__init__(world, database, template, tables)
        self._maintenance = self.connect()
        self._statement = self.statement().as_bytes(None)

    @abstractmethod
    def statement(self) -> sql.Composed:
        """The statement."""

    def before(self) -> None:
        """Connect anew: a session keeps the plans of foreign key checks that it made when the tables were small.

        With them it reads a hundred thousand rows for each of a hundred thousand, which takes minutes.
        """
        self._maintenance.close()
        self._maintenance = self.connect()
        self._maintenance.execute(_LIMIT)

    def undo(self) -> None:
        """Run the statement."""
        self._maintenance.execute(self._statement)

    def close(self) -> None:
        """End what was opened."""
        self._maintenance.close()
        super().close()


class TruncateAll(_Statement):
    """One TRUNCATE of all tables."""

    is_constant = True

    def statement(self) -> sql.Composed:
        """As people write it."""
        return _truncate(range(self.tables), "CASCADE")


class DeleteAll(_Statement):
    """One DELETE for each table, those that refer to others first, sent at once. Sequences stay where they are."""

    is_constant = True

    def statement(self) -> sql.Composed:
        """All of them, which the server runs as one transaction."""
        return sql.SQL("; ").join(
            sql.SQL("DELETE FROM {}").format(schema.name(n)) for n in reversed(range(self.tables))
        )


class TruncateDirty(_Statement):
    """One TRUNCATE of the last three tables, to which no others refer: as if somebody told which are dirty."""

    def statement(self) -> sql.Composed:
        """Without CASCADE, for there is nothing to cascade to."""
        return _truncate(schema.last(self.tables, 3), "")


def _truncate(numbers: Sequence[int], ending: LiteralString) -> sql.Composed:
    names = sql.SQL(", ").join(map(schema.name, numbers))
    return sql.SQL("TRUNCATE {} RESTART IDENTITY {}").format(names, sql.SQL(ending))


class Clone(Way):
    """A copy of the template for each test. That the application has to connect again is not timed."""

    is_constant = True

    def __init__(self, world: World, database: str, template: str, tables: int) -> None:
        super().__init__(world, database, template, tables)
        self.client.close()
        self._maintenance = connect(world.url)
        names = map(sql.Identifier, (database, template))
        self._drop = sql.SQL("DROP DATABASE {}").format(sql.Identifier(database)).as_bytes(None)
        self._create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(*names).as_bytes(None)

    def test(self, work: Work) -> None:
        """Be the test, on a connection of its own."""
        self.client = self.connect()
        super().test(work)
        self.client.close()
        self.world.wait_until_empty(self.database)

    def undo(self) -> None:
        """Drop the database and make it anew."""
        self._maintenance.execute(self._drop)
        self._maintenance.execute(self._create)

    def count(self, work: Work) -> int:
        """How many rows there are."""
        with self.connect() as client:
            found = work.count(client)
        self.world.wait_until_empty(self.database)
        return found

    def close(self) -> None:
        """End what was opened."""
        self._maintenance.close()
        super().close()


class PytestPostgresql(Way):
    """What pytest-postgresql's fixture `postgresql` does between two tests: disconnect, drop, create, connect."""

    is_constant = True

    def __init__(self, world: World, database: str, template: str, tables: int) -> None:
        super().__init__(world, database, template, tables)
        url = world.url
        self._janitor = DatabaseJanitor(
            user=url.username, host=url.query["host"], port=url.port, dbname=database, template_dbname=template
        )

    def undo(self) -> None:
        """Tear the fixture down, and set it up."""
        self.client.close()
        self._janitor.drop()
        self._janitor.init()
        self.client = self.connect()


class PytestCleanDatabase(Way):
    """What pytest-clean-database's fixture does after a test: TRUNCATE ... CASCADE of each table a trigger marked."""

    def __init__(self, world: World, database: str, template: str, tables: int) -> None:
        super().__init__(world, database, template, tables)
        url = world.database(database).set(drivername="postgresql")
        self._connection = PostgreSQLConnection(url.render_as_string(hide_password=False))
        clean_db.setup_tracing("public", self._connection)

    def undo(self) -> None:
        """Empty what is marked."""
        clean_db.run_clean_tables("public", self._connection)

    def close(self) -> None:
        """End what was opened."""
        self._connection.close()
        super().close()


PRISTINE = "pytest-pristine"
NOTHING = "no isolation"
TRUNCATE = "TRUNCATE of all"
TRUNCATE_DIRTY = "TRUNCATE of the dirty"
MakeWay = Callable[[World, str, str, int], Way]
# Those that are compared, in the order of the tables.
ALL: dict[str, MakeWay] = {
    NOTHING: Nothing,
    "a round trip": RoundTrip,
    "rollback": Rollback,
    PRISTINE: Pristine,
    "DELETE of all": DeleteAll,
    TRUNCATE: TruncateAll,
    "clone per test": Clone,
    "pytest-postgresql": PytestPostgresql,
    "pytest-clean-database": PytestCleanDatabase,
}
