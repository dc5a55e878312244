"""Statements that go to libpq directly."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from pytest_pristine.postgres import connections
from pytest_pristine.postgres.prepared import Prepared

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from pytest_pristine.postgres.connections import Connection
    from tests.conftest import Server


@pytest.fixture
def connection(database: URL) -> Iterator[Connection]:
    """A connection to an empty database."""
    with connections.connect(database, "test") as connection:
        yield connection


def test_values_are_text(connection: Connection) -> None:
    """A row comes as the server writes it, and NULL as None."""
    statement = Prepared(connection, "values", sql.SQL("SELECT $1::int + 1, $2::text, true, NULL"))
    assert statement.ask("41", "grüße") == ["42", "grüße", "t", None]


def test_psycopg_has_statements_forgotten(connection: Connection) -> None:
    """It is prepared again when psycopg had the server forget all prepared statements."""
    statement = Prepared(connection, "one", sql.SQL("SELECT 1"))
    connection.execute("DEALLOCATE ALL")
    assert statement.ask() == ["1"]


def test_an_error_of_the_server(connection: Connection) -> None:
    """An error of the server is raised as psycopg raises it, and the connection can be used."""
    statement = Prepared(connection, "division", sql.SQL("SELECT 1 / $1::int"))
    with pytest.raises(psycopg.errors.DivisionByZero, match="division by zero"):
        statement.ask("0")
    assert statement.ask("1") == ["1"]


def test_a_statement_that_the_server_does_not_take(connection: Connection) -> None:
    """A statement that cannot be planned is refused when it is made."""
    with pytest.raises(psycopg.errors.UndefinedTable):
        Prepared(connection, "none", sql.SQL("SELECT FROM not_there"))


def test_a_connection_that_is_lost(server: Server, connection: Connection) -> None:
    """An operational error tells that somebody ended our session, and the connection knows that it is closed."""
    statement = Prepared(connection, "one", sql.SQL("SELECT 1"))
    pid = connection.info.backend_pid
    assert server.ask(f"SELECT pg_terminate_backend({pid}, 10000)") == "t"
    with pytest.raises(psycopg.OperationalError):
        statement.ask()
    assert connection.closed
    with pytest.raises(psycopg.OperationalError):
        statement.ask()


def test_a_connection_that_is_cut(connection: Connection) -> None:
    """It is an operational error, too, when the connection ends without a word of the server's."""
    statement = Prepared(connection, "one", sql.SQL("SELECT 1"))
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        line.shutdown(socket.SHUT_RDWR)
    for attempt in (lambda: Prepared(connection, "two", sql.SQL("SELECT 2")), statement.ask):
        with pytest.raises(psycopg.OperationalError) as caught:
            attempt()
        assert caught.value.sqlstate is None
        assert connection.closed


def test_it_can_be_interrupted(connection: Connection) -> None:
    """A signal is heard while the server takes its time, and the connection can be used afterwards."""
    statement = Prepared(connection, "sleep", sql.SQL("SELECT pg_sleep($1::int)::text"))

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        with pytest.raises(KeyboardInterrupt):
            statement.ask("250")  # longer than a test may take
    finally:
        signal.signal(signal.SIGALRM, before)
    assert statement.ask("0") == [""]
