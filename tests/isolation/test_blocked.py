"""A restore that another session keeps waiting says who, and the next one works."""

from __future__ import annotations

import re
import threading

import psycopg
import pytest

from pytest_pristine.errors import RestoreBlockedError
from tests.conftest import new_role
from tests.isolation.conftest import MakePlace

TABLE = "CREATE TABLE users (id serial PRIMARY KEY, name text); INSERT INTO users (name) VALUES ('root')"
BLOCKERS = {
    "a table locked": "LOCK TABLE users IN ACCESS EXCLUSIVE MODE",
    "a table altered": "ALTER TABLE users ADD age int",
    "a table truncated": "TRUNCATE users",
}


@pytest.mark.parametrize("how", BLOCKERS)
def test_an_open_transaction_is_named(place: MakePlace, how: str) -> None:
    """The message has the blocker's pid, application, state, age, table and last query, and the time that was waited.

    The session is ended and the database made anew, so that the next restore finds nothing to do.
    """
    made = place(TABLE)
    isolation = made.isolation(timeout=0.1)
    before = made.dump()
    made.run("INSERT INTO users (name) VALUES ('new')")
    blocker = made.client()
    pid = blocker.info.backend_pid
    blocker.execute("SET application_name = 'the culprit'")
    blocker.execute("BEGIN")
    blocker.execute(BLOCKERS[how])  # type: ignore[call-overload]
    with pytest.raises(RestoreBlockedError) as caught:
        isolation.restore()
    message = str(caught.value)
    assert f"pid {pid} (the culprit), idle in transaction" in message
    assert re.search(r"its transaction \d+\.\d s old, locks on users", message)
    assert f"last query: {BLOCKERS[how]}" in message
    assert "for 0.1 s" in message
    assert "close the connection, or end its transaction" in message
    with pytest.raises(psycopg.OperationalError):
        blocker.execute("SELECT 1")
    assert not isolation.restore()
    assert made.dump() == before
    assert made.rebuilds == 1


def test_a_reader_that_forgot_its_transaction(place: MakePlace) -> None:
    """A session that only read does not keep a restore from deleting what was added."""
    made = place(TABLE)
    isolation = made.isolation(timeout=0.1)
    before = made.dump()
    made.run("INSERT INTO users (name) VALUES ('new')")
    reader = made.client()
    with reader.transaction():
        reader.execute("SELECT * FROM users")
        isolation.restore()
    assert made.dump() == before
    assert made.rebuilds == 0


def test_a_reader_in_the_way_of_an_owner(place: MakePlace) -> None:
    """A plain owner, who must truncate a table to put its rows back, names the session that reads it."""
    made = place(TABLE + "; CREATE TABLE posts (user_id int REFERENCES users); INSERT INTO posts VALUES (1)")
    isolation = made.isolation(timeout=0.1)
    before = made.dump()
    made.run("UPDATE users SET name = 'other'")
    reader = made.client()
    pid = reader.info.backend_pid
    reader.execute("BEGIN; SELECT * FROM users")
    if made.replica:
        isolation.restore()
    else:
        with pytest.raises(RestoreBlockedError, match=f"pid {pid}"):
            isolation.restore()
    assert made.dump() == before


def test_a_blocker_of_another_role_is_named(place: MakePlace) -> None:
    """A session whose query our role may not see is named by its pid all the same."""
    made = place(TABLE)
    isolation = made.isolation(timeout=0.1)
    made.run("INSERT INTO users (name) VALUES ('new')")
    blocker = made.superuser()
    pid = blocker.info.backend_pid
    blocker.execute("BEGIN; LOCK TABLE users")
    with pytest.raises(RestoreBlockedError, match=f"pid {pid}"):
        isolation.restore()


def test_a_session_that_holds_no_lock_in_the_way_is_not_accused(one_place: MakePlace) -> None:
    """Of two sessions with a transaction open, the one that holds the lock is named, and the other is not."""
    made = one_place(TABLE + "; CREATE TABLE other (id int)")
    isolation = made.isolation(timeout=0.1)
    made.run("INSERT INTO users (name) VALUES ('new')")
    blocker, bystander = made.client(), made.client()
    guilty, innocent = blocker.info.backend_pid, bystander.info.backend_pid
    bystander.execute("BEGIN; SELECT * FROM other")
    blocker.execute("BEGIN; LOCK TABLE users")
    with pytest.raises(RestoreBlockedError) as caught:
        isolation.restore()
    assert f"pid {guilty}" in str(caught.value)
    assert f"pid {innocent}" not in str(caught.value)


def test_a_blocker_that_ends_in_time_does_not_matter(one_place: MakePlace) -> None:
    """A restore waits for a lock that is given back before the time is over."""
    made = one_place(TABLE)
    isolation = made.isolation(timeout=30)
    before = made.dump()
    made.run("INSERT INTO users (name) VALUES ('new')")
    blocker = made.client()
    blocker.execute("BEGIN; LOCK TABLE users")
    restore = threading.Thread(target=isolation.restore)
    restore.start()
    restore.join(0.2)
    assert restore.is_alive()
    blocker.execute("COMMIT")
    restore.join()
    assert made.dump() == before


def test_the_connection_of_a_restore_may_be_ended(one_place: MakePlace) -> None:
    """A test that ends every other session in its database, as some do, does not stop the next restore."""
    made = one_place(TABLE)
    isolation = made.isolation()
    before = made.dump()
    made.run("INSERT INTO users (name) VALUES ('new')",
             "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
             " WHERE datname = current_database() AND pid <> pg_backend_pid()")  # fmt: skip
    isolation.restore()
    assert made.dump() == before


def test_a_granted_role_restores_like_a_superuser(one_place: MakePlace) -> None:
    """A role that may set session_replication_role, and owns the tables, is restored with in replica role."""
    made = one_place("SELECT 1")
    with new_role(made.server, "") as role:
        with made.server.connect(made.name) as client:
            client.execute(f'GRANT SET ON PARAMETER session_replication_role TO "{role.username}"')  # type: ignore[call-overload]
            client.execute(f'CREATE SCHEMA theirs AUTHORIZATION "{role.username}"')  # type: ignore[call-overload]
        owned = made.url
        made.url = role.set(database=made.name)
        try:
            made.run("CREATE TABLE theirs.a (id int PRIMARY KEY); INSERT INTO theirs.a VALUES (1);"
                     "CREATE TABLE theirs.b (id int REFERENCES theirs.a); INSERT INTO theirs.b VALUES (1)")  # fmt: skip
            isolation = made.isolation()
            before = made.dump()
            made.run("TRUNCATE theirs.a, theirs.b")
            assert isolation.restore()
            assert made.dump() == before
            isolation.close()
        finally:
            made.url = owned
            with made.server.connect(made.name) as client:
                client.execute("DROP SCHEMA theirs CASCADE")
                client.execute(f'REVOKE SET ON PARAMETER session_replication_role FROM "{role.username}"')  # type: ignore[call-overload]


def test_ending_an_isolation_ends_its_session(one_place: MakePlace) -> None:
    """After it is closed, no session of ours is left in the database."""
    made = one_place(TABLE)
    isolation = made.isolation()
    isolation.close()
    with pytest.raises(psycopg.Error):
        isolation.restore()
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    with made.server.connect(made.name) as client:
        left = client.execute(query).fetchone()
        while left != (0,):  # the server ends a session a moment after its client; the run's time limit is the deadline
            left = client.execute(query).fetchone()
