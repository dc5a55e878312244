"""Connections, and why one cannot be had: told apart on real servers."""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING

import pytest
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from pytest_pristine.errors import (
    AuthenticationError,
    RefusedError,
    ServerError,
    UnknownDatabaseError,
    UnreachableError,
)
from pytest_pristine.postgres import connections
from tests.conftest import SUPERUSER, new_database, new_role

if TYPE_CHECKING:
    from tests.conftest import Server

WRONG = "Sesam-wrong"


def refused(url: URL) -> ServerError:
    """The error that a user gets for a URL."""
    with pytest.raises(ServerError) as caught:
        connections.connect_or_explain(url, "test", "TEST_DATABASE_URL")
    if url.password is not None:
        assert url.password not in str(caught.value)
    assert caught.value.sought.endswith("(from TEST_DATABASE_URL)")
    return caught.value


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_purpose_is_seen(server: Server) -> None:
    """Who looks into pg_stat_activity sees what a connection of ours is for, and it waits in no transaction."""
    with connections.connect(server.url, "a purpose"):
        query = "SELECT count(*), min(state) FROM pg_stat_activity WHERE application_name = 'pristine: a purpose'"
        assert server.ask(query) == "1|idle" or server.ask(query) == "1|"


def test_a_timeout_that_ends_the_first_statement(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session is opened again while the timeout of the database leaves no time to switch it off, and not for ever."""
    with new_database(server) as url:
        name = sql.Identifier(str(url.database))
        with server.connect(url=url) as client:
            client.execute("CREATE SEQUENCE opened")
            client.execute(sql.SQL("ALTER DATABASE {} SET statement_timeout = 100").format(name))
        late = "SELECT set_config('statement_timeout', pg_sleep((nextval('opened') <= {})::int)::text || '0', false)"
        monkeypatch.setattr(connections, "_NO_TIMEOUT", late.format(2))
        with connections.connect(url, "test") as connection:
            assert connection.execute("SELECT last_value FROM opened").fetchone() == (3,)
            assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
        monkeypatch.setattr(connections, "_NO_TIMEOUT", late.format(100))
        with pytest.raises(UnreachableError, match="statement timeout"):
            connections.connect(url, "test")


def test_answers(server: Server) -> None:
    """A server answers when a connection can be had."""
    assert connections.answers(server.url)
    assert not connections.answers(server.url.set(database="nowhere"))
    assert not connections.answers(server.url.set(password=WRONG))
    assert not connections.answers(server.url.set(port=free_port()))


def test_nothing_listens_here(server: Server) -> None:
    """Where nothing listens on this machine, the command that starts a server there is given, ready to be typed."""
    port = free_port()
    error = refused(server.url.set(port=port, database="app_test", password=WRONG))
    assert isinstance(error, UnreachableError)
    assert error.sought == f"the Postgres at postgresql://tester:***@127.0.0.1:{port}/app_test (from TEST_DATABASE_URL)"
    assert error.remedy == (
        f"start a server there: pristine up --port {port} --user tester --password … --db app_test",
        "or remove TEST_DATABASE_URL: a server is then found or started",
    )


def test_nothing_listens_elsewhere(server: Server) -> None:
    """For another machine nobody is told to start a server on this one."""
    error = refused(server.url.set(host="no-such-host.invalid", password=WRONG))
    assert isinstance(error, UnreachableError)
    assert error.remedy[0] == "start the server on no-such-host.invalid, or correct the address"


def test_no_socket() -> None:
    """A directory without a socket is an address where nothing answers."""
    assert isinstance(refused(make_url("postgresql://u:Sesam-7@/app_test?host=/nonexistent")), UnreachableError)


@pytest.mark.parametrize("database", ["postgres", "template1", "nowhere"])
def test_wrong_password(server: Server, database: str) -> None:
    """A wrong password is told as such, whichever database was named, and nothing is said about databases."""
    error = refused(server.url.set(password=WRONG, database=database))
    assert isinstance(error, AuthenticationError)
    assert f"a server that rejects the user {SUPERUSER!r} or the password" in error.found
    assert error.remedy == ("correct the user and the password in TEST_DATABASE_URL",)


def test_no_password(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that is missing where one is asked for is told as a matter of authentication."""
    monkeypatch.setenv("PGPASSFILE", "/nonexistent")
    url = URL.create("postgresql+psycopg", SUPERUSER, None, server.url.host, server.url.port, "postgres")
    assert isinstance(refused(url), AuthenticationError)


def test_unknown_user(server: Server) -> None:
    """A user whom the server does not know is told as such."""
    error = refused(server.url.set(username="nobody_here"))
    assert isinstance(error, AuthenticationError)
    assert "'nobody_here'" in error.found


@pytest.mark.parametrize("database", ["nowhere", "no where", 'no "where"', "näh"])
def test_unknown_database(server: Server, database: str) -> None:
    """A database that is not there is told as such, with those that are and the statement that makes it."""
    error = refused(server.url.set(database=database))
    assert isinstance(error, UnknownDatabaseError)
    known = server.ask("SELECT string_agg(datname, ', ' ORDER BY datname) FROM pg_database WHERE datallowconn")
    assert error.found == f"the server, but no database {database!r} on it (it has: {known})"
    assert sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)).as_string(None) in error.remedy[0]
    assert error.remedy[0].startswith("psql ")


def test_a_role_that_may_not_connect(server: Server, closed: str) -> None:
    """A database that is there and closed to the role is neither unknown nor a matter of the password."""
    with new_role(server, "") as url:
        server.ask(f"REVOKE CONNECT ON DATABASE {closed} FROM PUBLIC")
        error = refused(url.set(database=closed))
        assert "permission denied for database" in str(error)
        assert isinstance(error, RefusedError)


def test_a_closed_database_is_not_called_unknown(server: Server, closed: str) -> None:
    """A database that is there and takes no connections is not said to be missing: it cannot be made."""
    server.ask(f"ALTER DATABASE {closed} ALLOW_CONNECTIONS false")
    error = refused(server.url.set(database=closed))
    assert isinstance(error, RefusedError)
    assert "not currently accepting connections" in str(error)


@pytest.fixture
def closed(server: Server) -> str:
    """A database that the test may close; it goes with the server."""
    name = f"closed_{secrets.token_hex(4)}"
    server.ask(f"CREATE DATABASE {name} TEMPLATE template0")
    return name
