"""What makes a database not empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_pristine.postgres import connections, contents
from tests.conftest import AVAILABLE, EXTENSION, new_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import URL

    from pytest_pristine.postgres.connections import Connection
    from tests.conftest import Server

ALONE = {
    "CREATE TABLE users ()": "table public.users",
    "CREATE UNLOGGED TABLE users ()": "table public.users",
    "CREATE TABLE users (n int) PARTITION BY RANGE (n)": "table public.users",
    'CREATE TABLE "My Users" ()': 'table public."My Users"',
    "CREATE VIEW v AS SELECT 1 AS n": "view public.v",
    "CREATE MATERIALIZED VIEW m AS SELECT 1 AS n": "materialized view public.m",
    "CREATE SEQUENCE s": "sequence public.s",
    "CREATE TYPE pair AS (a int, b int)": "type public.pair",
    "CREATE TYPE mood AS ENUM ('ok')": "type public.mood",
    "CREATE DOMAIN positive AS int CHECK (value > 0)": "type public.positive",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'": "function public.f",
    "CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'": "function public.p",
    "CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int)": "function public.total",
    "CREATE SCHEMA app": "schema app",
    'CREATE SCHEMA "pgstuff"': "schema pgstuff",
    "DROP SCHEMA public CASCADE; CREATE SCHEMA app": "schema app",
}
OTHERS = [
    "CREATE TYPE span AS RANGE (subtype = int)",
    "CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq)",
    "CREATE COLLATION mine (locale = 'C')",
    "CREATE TEXT SEARCH CONFIGURATION mine (COPY = simple)",
    "CREATE PUBLICATION everything FOR ALL TABLES",
    "CREATE FOREIGN DATA WRAPPER mine",
    "CREATE FOREIGN DATA WRAPPER mine; CREATE SERVER mine FOREIGN DATA WRAPPER mine",
    "CREATE CAST (text AS int) WITH INOUT",
]


@pytest.fixture(scope="module")
def empty(server: Server) -> Iterator[URL]:
    """An empty database, in which every test undoes what it makes."""
    with new_database(server) as url:
        yield url


@pytest.fixture
def connection(empty: URL) -> Iterator[Connection]:
    """A connection whose transaction is rolled back."""
    with connections.connect(empty, "test") as opened, opened.transaction(force_rollback=True):
        yield opened


@pytest.mark.parametrize("statement", ALONE)
def test_every_kind_of_object_counts(connection: Connection, statement: str) -> None:
    """A single object of any kind makes a database not empty, and is named."""
    connection.execute(statement)
    assert contents.describe(connection) == ALONE[statement]


@pytest.mark.parametrize("statement", OTHERS)
def test_rare_kinds_count_too(connection: Connection, statement: str) -> None:
    """What somebody made by hand counts, however rarely people make it."""
    connection.execute(statement)
    assert contents.describe(connection) is not None


def test_a_large_object_counts(connection: Connection) -> None:
    """A large object belongs to no schema, and is somebody's all the same."""
    (number,) = connection.execute("SELECT lo_from_bytea(0, 'x')").fetchone() or ("none",)
    assert contents.describe(connection) == f"large object {number}"


def test_an_empty_database(connection: Connection) -> None:
    """A database in which nobody made anything is empty."""
    assert contents.describe(connection) is None


@pytest.mark.parametrize(
    "extension", sorted({"hstore", "plpgsql", "pg_trgm", "citext", "pg_stat_statements", "vector"} & AVAILABLE)
)
def test_extensions_do_not_count(connection: Connection, extension: str) -> None:
    """What belongs to an extension does not count: somebody with the right to do so installed it for us."""
    connection.execute(f"CREATE EXTENSION IF NOT EXISTS {extension}")
    assert contents.describe(connection) is None


def test_a_schema_made_for_extensions_counts(connection: Connection) -> None:
    """A schema into which somebody put extensions is what that person made."""
    connection.execute("CREATE SCHEMA extensions")
    connection.execute(f"CREATE EXTENSION {EXTENSION} SCHEMA extensions")
    assert contents.describe(connection) == "schema extensions"


def test_tables_come_first_and_the_rest_is_counted(connection: Connection) -> None:
    """Of many objects a table is named, since people know it best, and the others are counted."""
    connection.execute("CREATE TYPE a AS ENUM ('ok'); CREATE TABLE zebra ()")
    assert contents.describe(connection) == "table public.zebra and 1 other object"
    connection.execute("CREATE TABLE ant (n serial)")
    assert contents.describe(connection) == "table public.ant and 3 other objects"


def test_a_dropped_public_schema_is_empty(connection: Connection) -> None:
    """A database without even a schema is empty."""
    connection.execute("DROP SCHEMA public")
    assert contents.describe(connection) is None
