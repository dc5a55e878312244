"""How the address of a database is spelt in the variables of an application."""

from __future__ import annotations

import pytest
from pydantic import PostgresDsn, TypeAdapter
from sqlalchemy.engine import URL, make_url

from pytest_pristine.postgres import exported, urls
from pytest_pristine.settings import exports
from tests.conftest import Server

SOCKET = make_url("postgresql+psycopg://ada@:5433/shop?host=/run/pg")
TCP = make_url("postgresql+psycopg://ada:s%40fe@db:5433/shop?sslmode=require")


@pytest.mark.parametrize(
    ("url", "form", "expected"),
    [
        (TCP, "", "postgresql+psycopg://ada:s%40fe@db:5433/shop?sslmode=require"),
        (TCP, "postgresql", "postgresql://ada:s%40fe@db:5433/shop?sslmode=require"),
        (TCP, "postgresql+asyncpg", "postgresql+asyncpg://ada:s%40fe@db:5433/shop?ssl=require"),
        (TCP, "host", "db"),
        (TCP, "port", "5433"),
        (TCP, "user", "ada"),
        (TCP, "password", "s@fe"),
        (TCP, "database", "shop"),
        (SOCKET, "postgres", "postgres://ada@localhost:5433/shop?host=%2Frun%2Fpg"),
        (SOCKET, "host", "/run/pg"),
        (SOCKET, "password", ""),
        (make_url("postgresql://db/shop"), "port", "5432"),
    ],
)
def test_a_form(url: URL, form: str, expected: str) -> None:
    """A variable holds the whole URL, with the driver that it is to name, or a part of it."""
    assert exported.variables(exports.parse(f"X = {form}" if form else "X"), url) == {"X": expected}


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg", "pg8000"])
def test_drivers_find_the_socket(driver: str) -> None:
    """Each driver of SQLAlchemy takes the directory of the socket from a URL that validators of settings accept."""
    text = exported.spelt(SOCKET, f"postgresql+{driver}")
    assert TypeAdapter(PostgresDsn).validate_python(text)
    url = make_url(text)
    _, arguments = url.get_dialect()().create_connect_args(url)
    wanted = {"unix_sock": "/run/pg/.s.PGSQL.5433"} if driver == "pg8000" else {"host": "/run/pg", "port": 5433}
    assert wanted.items() <= arguments.items()


def test_we_read_what_we_write() -> None:
    """A run that is started by a test, and is given such a URL, goes to the socket, too."""
    assert urls.parse(exported.spelt(SOCKET), "TEST_DATABASE_URL") == SOCKET


def test_libpq() -> None:
    """`PG*` sets what libpq is to know, and takes out what would lead it elsewhere or is of another server."""
    assert exported.variables(exports.parse("PG*"), SOCKET) == {
        "PGHOST": "/run/pg",
        "PGPORT": "5433",
        "PGUSER": "ada",
        "PGPASSWORD": None,
        "PGDATABASE": "shop",
        "PGHOSTADDR": None,
        "PGSERVICE": None,
        "PGSERVICEFILE": None,
    }
    assert exported.variables(exports.parse("PG*"), TCP)["PGSSLMODE"] == "require"


def test_several() -> None:
    """Variables stand on lines of their own, or between commas; blanks do not matter."""
    assert list(map(str, exports.parse("\n A \nB=host,C = postgresql+asyncpg"))) == [
        "A",
        "B = host",
        "C = postgresql+asyncpg",
    ]


def test_the_same_twice() -> None:
    """A variable that is there twice is refused."""
    with pytest.raises(ValueError, match="each variable once, and not A twice,"):
        exports.parse("A, A = host")


def test_nobody_answers_nowhere(server: Server) -> None:
    """The address for runs without tests refuses."""
    with pytest.raises(Exception, match=r"port 1 failed|refused"):
        server.connect(url=exported.NOWHERE)
