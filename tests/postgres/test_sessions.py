"""Ending the sessions in a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from pytest_pristine.errors import RestoreError
from pytest_pristine.postgres import connections, sessions
from tests.conftest import SUPERUSER, new_database, new_role

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from tests.conftest import Server


def test_sessions_in_one_database_are_ended(server: Server) -> None:
    """When it returns, the sessions in the database are gone, those in others and those to be kept go on."""
    with (
        new_database(server) as url,
        new_database(server) as elsewhere,
        server.connect(url.database) as ended,
        server.connect(url.database) as kept,
        server.connect(elsewhere.database) as other,
        connections.connect(url, "test") as connection,
    ):
        assert sessions.end(connection, str(url.database), keep=[kept.info.backend_pid]) == []
        pids = {session.pid for session in sessions.others(connection, str(url.database))}
        assert pids == {kept.info.backend_pid}
        with pytest.raises(psycopg.OperationalError):
            ended.execute("SELECT 1")
        assert kept.execute("SELECT 1").fetchone() == other.execute("SELECT 1").fetchone() == (1,)


def test_a_session_that_we_may_not_end_is_given_back(server: Server) -> None:
    """What a role may not end goes on, and is told with process id, role and application."""
    with (
        new_role(server, "") as role,
        new_database(server) as url,
        server.connect(url.database) as superuser,
        server.connect(url.database, role) as own,
        connections.connect(role, "test") as connection,
    ):
        superuser.execute("SET application_name TO 'psql'")
        (refused,) = sessions.end(connection, str(url.database))
        assert str(refused) == f"pid {superuser.info.backend_pid} of the role '{SUPERUSER}' (psql)"
        assert superuser.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError):
            own.execute("SELECT 1")


def test_a_session_that_does_not_end(server: Server, database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is still there when the time is over is named: nobody waits for ever."""
    monkeypatch.setattr(sessions, "PATIENCE", 0.1)
    monkeypatch.setattr(sessions, "_end", lambda *_: True)
    name = str(database.database)
    with server.connect(name) as client, connections.connect(server.url, "test") as connection:
        with pytest.raises(RestoreError) as caught:
            sessions.end(connection, name)
        assert caught.value.sought == f"to end the sessions in the database '{name}'"
        assert caught.value.found == (
            f"after 0.1 s there is still: pid {client.info.backend_pid} of the role '{SUPERUSER}' (no application name)"
        )


def test_a_forgotten_session_is_told_with_the_time_of_its_last_query(server: Server, database: URL) -> None:
    """A session in a transaction that wrote is told from itself when it has executed the same statement once more."""
    with server.connect(str(database.database)) as client, connections.connect(database, "test") as connection:
        client.execute("CREATE TABLE counted (n int)")
        statement = "INSERT INTO counted VALUES (1)"
        client.execute("BEGIN")
        assert sessions.forgotten(connection) == {}
        client.execute(statement)
        first = sessions.forgotten(connection)
        assert [query for query, _ in first.values()] == [statement]
        assert sessions.forgotten(connection) == first
        client.execute(statement)
        assert list(again := sessions.forgotten(connection)) == list(first)
        assert again != first
