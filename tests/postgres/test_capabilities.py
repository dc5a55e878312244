"""What a role may do, as the product sees it and as the server lets it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from pytest_pristine.postgres import capabilities, connections
from pytest_pristine.postgres.capabilities import Capabilities
from tests.conftest import SUPERUSER, new_role

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from tests.conftest import Server


def inspected(url: URL) -> Capabilities:
    """The capabilities of the role in the URL."""
    with connections.connect(url, "test") as connection:
        return capabilities.inspect(connection)


def may(server: Server, url: URL, statement: str) -> bool:
    """Whether the server lets the role do it."""
    with server.connect(url=url) as connection:
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            return False
        return True


def test_version(server: Server) -> None:
    """The version is the server's, without the words that distributors append."""
    found = inspected(server.url)
    assert str(found.version) == server.ask("SHOW server_version_num")
    assert found.version_text == server.ask("SHOW server_version").split()[0]
    assert found.major == server.major


def test_a_superuser_may_everything(server: Server) -> None:
    """A superuser may make databases and keep triggers out of a restore."""
    found = inspected(server.url)
    assert (found.role, found.superuser, found.createdb, found.replica) == (SUPERUSER, True, True, True)


@pytest.mark.parametrize("attributes", ["", "CREATEDB", "CREATEROLE", "CREATEDB BYPASSRLS"])
def test_a_role_may_what_the_server_lets_it(server: Server, attributes: str) -> None:
    """What is said of a role is what the server answers when the role tries."""
    with new_role(server, attributes) as url:
        found = inspected(url)
        assert (found.role, found.superuser) == (url.username, False)
        assert found.createdb == may(server, url, f"CREATE DATABASE try_{secrets.token_hex(4)} TEMPLATE template0")
        assert found.createdb == ("CREATEDB" in attributes)
        assert found.replica == may(server, url, "SET session_replication_role = replica")
        assert not found.replica


def test_replica_may_be_granted(server: Server) -> None:
    """Since version 15 a role without superuser can be granted what a quick restore needs."""
    with new_role(server, "CREATEDB") as url, server.connect() as connection:
        grant = "GRANT SET ON PARAMETER session_replication_role TO {}"
        connection.execute(sql.SQL(grant).format(sql.Identifier(str(url.username))))
        found = inspected(url)
        assert (found.superuser, found.replica) == (False, True)


def test_inspection_leaves_no_trace(server: Server) -> None:
    """The connection that was inspected is as it was."""
    with connections.connect(server.url, "test") as connection:
        capabilities.inspect(connection)
        assert connection.execute("SHOW session_replication_role").fetchone() == ("origin",)
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
