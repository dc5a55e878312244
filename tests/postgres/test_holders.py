"""Databases that are held by more than sessions, and are dropped all the same."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.errors import PrivilegeError
from pytest_pristine.postgres import connections, databases, marks
from pytest_pristine.postgres.marks import Mark
from tests.conftest import new_role, new_server, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Server

MARK = Mark(marks.CLONE, run="0123abcd", project="app")
SUBSCRIBE = "CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)"


@pytest.fixture(scope="module")
def replicating() -> Iterator[Server]:
    """A server on which databases can publish and transactions can be prepared."""
    with new_server("wal_level = logical\nmax_prepared_transactions = 4\n") as server:
        yield server


@pytest.mark.parametrize("opened", [True, False], ids=["open", "sealed"])
def test_what_holds_a_database_is_let_go(replicating: Server, opened: bool) -> None:  # noqa: FBT001
    """A database that subscribes, has a prepared transaction and is published from is dropped, also a sealed one."""
    server, url = replicating, replicating.url
    with connections.connect(url, "test") as connection:
        for name in ("publishes", "subscribes"):
            databases.create(connection, name, MARK)
            server.ask("CREATE TABLE t (n int PRIMARY KEY)", name)
        server.ask("INSERT INTO t VALUES (7)", "publishes")
        server.ask("CREATE PUBLICATION p FOR TABLE t", "publishes")
        server.ask("SELECT pg_create_logical_replication_slot('held', 'pgoutput')", "publishes")
        at = f"host={url.host} port={url.port} user={url.username} password={url.password} dbname=publishes"
        with server.connect("subscribes") as client:
            client.execute(f"CREATE SUBSCRIPTION \"it's\" CONNECTION '{at}' PUBLICATION p WITH (slot_name = 'held', "
                           "create_slot = false)")  # fmt: skip
        wait_until(lambda: server.ask("SELECT n FROM t", "subscribes") == "7", "it is copied")
        server.ask("BEGIN; CREATE TABLE u (); PREPARE TRANSACTION 'held'", "subscribes")
        if not opened:
            databases.seal(connection, "subscribes")
        databases.drop(connection, "subscribes")
        databases.drop(connection, "publishes")
        assert [each.name for each in databases.ours(connection)] == []
        assert server.ask("SELECT count(*) FROM pg_replication_slots") == "0"


def test_a_publisher_that_does_not_answer(server: Server) -> None:
    """A subscription that has not copied its tables yet is dropped, though its publisher would never answer."""
    # It takes the connection, and says nothing.
    with socket.create_server(("127.0.0.1", 0)) as silent, connections.connect(server.url, "test") as connection:
        databases.create(connection, "subscribes", MARK)
        server.ask("CREATE TABLE t (n int PRIMARY KEY)", "subscribes")
        at = f"host=127.0.0.1 port={silent.getsockname()[1]}"
        server.ask(SUBSCRIBE.replace("dbname=x", at), "subscribes")
        not_copied = "SELECT oid, 't'::regclass, 'i' FROM pg_subscription"
        server.ask(f"INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) {not_copied}", "subscribes")
        databases.drop(connection, "subscribes")
        assert databases.find(connection, "subscribes") is None


def test_a_subscription_of_another_role(server: Server) -> None:
    """It is told with whose it is and what that role has to execute, and the database stays as closed as it was."""
    with new_role(server, "CREATEDB") as role, connections.connect(role.set(database="postgres"), "test") as connection:
        databases.create(connection, "subscribes", MARK)
        server.ask(SUBSCRIBE, "subscribes")
        databases.allow_connections(connection, "subscribes", allow=False)
        with pytest.raises(PrivilegeError) as caught:
            databases.drop(connection, "subscribes")
        assert not databases.allows_connections(connection, "subscribes")
        databases.allow_connections(connection, "subscribes", allow=True)
        assert caught.value.sought == "to drop the subscription 's' in the database 'subscribes'"
        assert f"it belongs to the role 'tester', and ours is '{role.username}': " in caught.value.found
        (remedy,) = caught.value.remedy
        who, _, statements = remedy.partition(": ")
        assert who == "as that role or a superuser, connected to subscribes"
        with server.connect("subscribes") as client:
            for statement in statements.split("; "):
                client.execute(statement)  # type: ignore[call-overload]
        databases.drop(connection, "subscribes")
