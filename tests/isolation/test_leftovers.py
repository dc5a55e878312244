"""What a test leaves besides rows: prepared transactions, advisory locks, large objects, temporary tables."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from pytest_pristine.errors import PrivilegeError, RestoreBlockedError
from tests.conftest import SUPERUSER, Server, new_role, new_server, wait_until
from tests.isolation.conftest import Client, MakePlace, Place, World

SCHEMA = """
    CREATE TABLE lookup (id int PRIMARY KEY, label text);
    INSERT INTO lookup VALUES (1, 'one'), (2, 'two');
    CREATE TABLE empty (id serial PRIMARY KEY, text text);
"""
LOCKS = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"  # noqa: E501


def ended(client: Client) -> bool:
    """Whether a session was ended."""
    try:
        client.execute("SELECT 1")
    except psycopg.OperationalError:
        return True
    return False


def named(client: Client, name: str) -> int:
    """Give a session a name; gives its pid."""
    client.execute(sql.SQL("SET application_name TO {}").format(sql.Literal(name)))
    return client.info.backend_pid


@pytest.fixture(scope="module")
def preparing() -> Iterator[Server]:
    """A server on which transactions can be prepared."""
    with new_server("max_prepared_transactions = 8\n") as server:
        yield server


@pytest.fixture(params=["superuser", "owner"])
def prepared(request: pytest.FixtureRequest, preparing: Server) -> Iterator[Place]:
    """A database in which transactions can be prepared."""
    with new_role(preparing, "CREATEDB") as owner:
        superuser = request.param == "superuser"
        with World(preparing, preparing.url if superuser else owner, superuser).place(SCHEMA) as place:
            yield place


@pytest.mark.parametrize("statement", [
    "INSERT INTO lookup VALUES (3, 'x')", "UPDATE lookup SET label = 'x'", "INSERT INTO empty (text) VALUES ('x')",
    "SAVEPOINT a; UPDATE lookup SET label = 'x'",
])  # fmt: skip
def test_a_prepared_transaction(prepared: Place, statement: str) -> None:
    """A transaction that a test prepared and left is rolled back and named; it would keep its locks for ever."""
    isolation = prepared.isolation()
    before = prepared.dump()
    prepared.run("INSERT INTO empty (text) VALUES ('y')", f"BEGIN; {statement}; PREPARE TRANSACTION 'it''s left'")
    assert isolation.restore().leftovers == ('the prepared transaction "it\'s left", which was rolled back',)
    assert prepared.ask("SELECT count(*) FROM pg_prepared_xacts") == "0"
    assert prepared.dump() == before
    assert not isolation.restore()
    assert prepared.rebuilds == 0


def test_a_prepared_transaction_of_another_role(prepared: Place) -> None:
    """What a role may not roll back fails the restore with who may; once that was done everything is put back."""
    isolation = prepared.isolation()
    before = prepared.dump()
    prepared.run("UPDATE lookup SET label = 'mine' WHERE id = 2")
    with prepared.server.connect(prepared.name) as superuser:
        superuser.execute("BEGIN; UPDATE lookup SET label = 'x' WHERE id = 1; PREPARE TRANSACTION 'theirs'")
        if prepared.replica:
            assert isolation.restore().leftovers == ("the prepared transaction 'theirs', which was rolled back",)
        else:
            for restore in (isolation.restore, isolation.prepare):
                with pytest.raises(PrivilegeError) as caught:
                    restore()
                assert caught.value.sought == (
                    f"to roll back the transaction 'theirs' that is prepared in the database '{prepared.name}'"
                )
                assert caught.value.found == (
                    f"it belongs to the role '{SUPERUSER}', and ours is '{prepared.url.username}'"
                )
                assert caught.value.remedy == (
                    f"as that role or a superuser, connected to {prepared.name}: ROLLBACK PREPARED 'theirs'",
                )
            superuser.execute("ROLLBACK PREPARED 'theirs'")
            assert isolation.restore().rows
    assert prepared.dump() == before
    assert not isolation.restore()


def test_a_prepared_transaction_that_was_committed(prepared: Place) -> None:
    """What a prepared transaction wrote is put back once it was committed."""
    isolation = prepared.isolation()
    before = prepared.dump()
    prepared.run("BEGIN; UPDATE lookup SET label = 'x'; PREPARE TRANSACTION 'a'", "COMMIT PREPARED 'a'")
    restored = isolation.restore()
    assert restored
    assert not restored.leftovers
    assert prepared.dump() == before


def test_a_prepared_transaction_of_another_database(prepared: Place) -> None:
    """A transaction that was prepared in another database is none of ours."""
    elsewhere = "BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'elsewhere'"
    prepared.server.ask(elsewhere)
    try:
        isolation = prepared.isolation()
        before = prepared.dump()
        prepared.run("UPDATE lookup SET label = 'x'")
        assert not isolation.restore().leftovers
        assert prepared.server.ask("SELECT gid FROM pg_prepared_xacts") == "elsewhere"
        assert prepared.dump() == before
        assert prepared.rebuilds == 0
    finally:
        prepared.server.ask("ROLLBACK PREPARED 'elsewhere'")


def test_a_prepared_change_of_the_schema(prepared: Place) -> None:
    """A prepared transaction that changed the schema is rolled back, or the database is made anew without it."""
    isolation = prepared.isolation(timeout=0.2)
    before = prepared.dump()
    prepared.run("BEGIN; CREATE TABLE more (); PREPARE TRANSACTION 'ddl'")
    assert isolation.restore().leftovers
    assert prepared.ask("SELECT count(*) FROM pg_prepared_xacts") == "0"
    assert prepared.dump() == before


@pytest.mark.parametrize("lock", [
    "SELECT pg_advisory_lock(1)", "SELECT pg_advisory_lock_shared(1, 2)", "SELECT pg_try_advisory_lock(-1)",
    "SELECT pg_advisory_lock(1), pg_advisory_lock(1)",
])  # fmt: skip
def test_a_session_that_kept_an_advisory_lock(place: MakePlace, lock: str) -> None:
    """An idle session that holds an advisory lock is ended and named, and whoever keeps connections is told."""
    made = place(SCHEMA)
    isolation = made.isolation()
    told: list[str] = []
    isolation.on_ended_sessions(lambda: told.append("first"))
    isolation.on_ended_sessions(lambda: told.append("second"))
    client, innocent = made.client(), made.client()
    pid = named(client, "the forgetful")
    client.execute(lock)
    restored = isolation.restore()
    (leftover,) = restored.leftovers
    assert leftover == (
        f"an advisory lock of the session pid {pid} of the role {made.url.username!r} (the forgetful), which was ended"
    )
    assert told == ["first", "second"]
    assert ended(client)
    assert not ended(innocent)
    assert made.ask(LOCKS) == "0"
    assert not isolation.restore()
    assert told == ["first", "second"]
    assert made.rebuilds == 0


def test_an_advisory_lock_beside_rows(place: MakePlace) -> None:
    """Rows are put back in the same restore."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    client = made.client()
    client.execute("SELECT pg_advisory_lock(1)")
    client.execute("UPDATE lookup SET label = 'x'")
    restored = isolation.restore()
    assert len(restored.leftovers) == 1
    assert restored.rows
    assert made.dump() == before


def test_an_advisory_lock_that_was_held_before(place: MakePlace) -> None:
    """A session that held its lock before the test stays; when it takes another one in the test, it is ended."""
    made = place(SCHEMA)
    isolation = made.isolation()
    client = made.client()
    client.execute("SELECT pg_advisory_lock(1)")
    assert not isolation.prepare()
    made.run("UPDATE lookup SET label = 'x'")
    assert not isolation.restore().leftovers
    assert not isolation.restore().leftovers
    assert not ended(client)
    client.execute("SELECT pg_advisory_lock(2)")
    assert isolation.restore().leftovers
    assert ended(client)


def test_each_test_begins_with_the_locks_there_are(place: MakePlace) -> None:
    """What was held before one test and given back is a leftover when a later test takes and keeps it."""
    made = place(SCHEMA)
    isolation = made.isolation()
    client = made.client()
    client.execute("SELECT pg_advisory_lock(1)")
    isolation.prepare()
    client.execute("SELECT pg_advisory_unlock(1)")
    assert not isolation.restore().leftovers
    isolation.prepare()
    client.execute("SELECT pg_advisory_lock(1)")
    assert isolation.restore().leftovers


@pytest.mark.parametrize("statement", [
    "BEGIN; SELECT pg_advisory_xact_lock(1)",
    "BEGIN; SELECT pg_advisory_lock(1)",
    "BEGIN; SELECT pg_advisory_lock(1); SELECT nonsense",
])  # fmt: skip
def test_a_session_within_a_transaction(place: MakePlace, statement: str) -> None:
    """A session that is in a transaction may give its lock back itself: it is left alone."""
    made = place(SCHEMA)
    isolation = made.isolation()
    client = made.client()
    try:
        client.execute(statement)
    except psycopg.errors.UndefinedColumn:
        assert "nonsense" in statement
    assert not isolation.restore()
    client.execute("ROLLBACK")
    assert not ended(client)


def test_an_advisory_lock_in_another_database(place: MakePlace) -> None:
    """A session in another database may keep its locks."""
    made = place(SCHEMA)
    isolation = made.isolation()
    with made.server.connect() as client:
        client.execute("SELECT pg_advisory_lock(1)")
        assert not isolation.restore()
        assert not ended(client)


def test_an_advisory_lock_of_a_role_that_we_may_not_end(place: MakePlace) -> None:
    """A session that our role may not look into is named, and stays."""
    made = place(SCHEMA)
    isolation = made.isolation()
    client = made.superuser()
    client.execute("SELECT pg_advisory_lock(1)")
    (leftover,) = isolation.restore().leftovers
    assert f"pid {client.info.backend_pid}" in leftover
    assert ("which was ended" in leftover) == made.replica
    assert ended(client) == made.replica


def test_large_objects_that_a_test_made(place: MakePlace) -> None:
    """Large objects that a test made are removed, those that were there stay."""
    made = place(SCHEMA + "; SELECT lo_from_bytea(4711, 'kept')")
    isolation = made.isolation()
    before = made.dump()
    for _ in range(2):
        made.run("SELECT lo_from_bytea(4712, 'new'), lo_create(4713)", "UPDATE lookup SET label = 'x'")
        restored = isolation.restore()
        assert {"large object 4712", "large object 4713"} <= set(restored.others)
        assert made.dump() == before
        assert not isolation.restore()
    assert made.rebuilds == 0


@pytest.mark.parametrize("statement", [
    "SELECT lo_put(4711, 0, 'lost')", "SELECT lo_put(4711, 100000, 'more')", "SELECT lo_unlink(4711)",
    "SELECT lo_unlink(4711), lo_from_bytea(4712, 'kept')", "GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC",
    "SELECT lo_unlink(4711); SELECT lo_from_bytea(4711, 'other')",
])  # fmt: skip
def test_large_objects_of_the_baseline(place: MakePlace, statement: str) -> None:
    """A large object that was there, and is changed or gone, makes the database be made anew."""
    made = place(SCHEMA + "; SELECT lo_from_bytea(4711, 'kept'), lo_from_bytea(4700, 'untouched')")
    isolation = made.isolation()
    before = made.dump()
    isolation.restore()
    made.run(statement)
    assert isolation.restore().remade == "large object 4711 changed"
    assert made.dump() == before
    assert made.rebuilds == 1


def test_a_large_object_written_to_and_rolled_back(place: MakePlace) -> None:
    """What was rolled back, or written as it was, is no change."""
    made = place(SCHEMA + "; SELECT lo_from_bytea(4711, 'kept')")
    isolation = made.isolation()
    made.run("BEGIN; SELECT lo_unlink(4711), lo_create(4712); ROLLBACK", "SELECT lo_put(4711, 0, 'kept')")
    assert not isolation.restore()
    assert made.rebuilds == 0


def test_temporary_tables_of_a_pooled_session(place: MakePlace) -> None:
    """Temporary tables, sequences and views that stay in a session are nobody's business, test after test."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    pooled = made.client()
    pooled.execute("CREATE TEMP TABLE t (id serial PRIMARY KEY, label text); CREATE TEMP VIEW v AS SELECT * FROM t")
    for _ in range(3):
        pooled.execute("INSERT INTO t (label) VALUES ('x'); CREATE INDEX ON t (label); ANALYZE t")
        pooled.execute("INSERT INTO empty (text) SELECT label FROM t")
        assert dict(isolation.restore().rows).keys() == {"empty"}
        assert not isolation.restore()
        assert made.dump() == before
    pooled.execute("DROP TABLE t CASCADE")
    assert not isolation.restore()
    pooled.close()
    assert not isolation.restore()
    assert made.rebuilds == 0


@pytest.mark.parametrize("mode", ["SHARE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE"])
def test_locks_that_keep_writers_out(place: MakePlace, mode: str) -> None:
    """A session that keeps everybody from writing to a table is told of, even if there is nothing to put back."""
    made = place(SCHEMA)
    isolation = made.isolation(timeout=0.1)
    before = made.dump()
    client = made.client()
    client.execute(f"BEGIN; LOCK TABLE empty IN {mode} MODE")
    with pytest.raises(RestoreBlockedError, match=f"pid {client.info.backend_pid} "):
        isolation.restore()
    assert ended(client)
    assert made.dump() == before
    assert not isolation.restore()


@pytest.mark.parametrize("mode", ["ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE"])
def test_locks_that_keep_nobody_out(place: MakePlace, mode: str) -> None:
    """A session with a lock beside which others can write is left alone."""
    made = place(SCHEMA)
    isolation = made.isolation(timeout=0.1)
    client = made.client()
    client.execute(f"BEGIN; LOCK TABLE empty IN {mode} MODE")
    made.run("INSERT INTO empty (text) VALUES ('x')")
    assert dict(isolation.restore().rows) == {"empty": 1}
    assert not ended(client)


def test_a_transaction_that_was_forgotten(place: MakePlace) -> None:
    """A session that wrote and did not commit is ended before the next test, which might wait for it."""
    made = place(SCHEMA)
    isolation = made.isolation(timeout=0.1)
    before = made.dump()
    client, reader = made.client(), made.client()
    pid = named(client, "the forgetful")
    client.execute("BEGIN; UPDATE lookup SET label = 'forgotten'")
    reader.execute("BEGIN; SELECT FROM lookup")
    assert not isolation.restore().leftovers
    (leftover,) = isolation.prepare().leftovers
    assert f"an open transaction of the session pid {pid} of the role {made.url.username!r} (the forgetful)" in leftover
    assert leftover.endswith("its last query: BEGIN; UPDATE lookup SET label = 'forgotten'")
    assert ended(client)
    assert not ended(reader)
    assert made.dump() == before
    assert made.rebuilds == 0


def test_a_transaction_that_says_the_same_again(place: MakePlace) -> None:
    """A session that executes one statement again and again is not taken for one that does nothing more."""
    made = place(SCHEMA)
    isolation = made.isolation(timeout=1)
    client, stop = made.client(), threading.Event()

    def repeat() -> None:
        client.execute("BEGIN")
        while not stop.wait(0.05):
            client.execute("UPDATE lookup SET label = 'again' WHERE id = 1")
        client.execute("ROLLBACK")

    with ThreadPoolExecutor(1) as pool:
        repeating = pool.submit(repeat)
        try:
            busy = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'UPDATE lookup%'"
            wait_until(lambda: made.ask(busy) == "1", "it writes")
            assert isolation.prepare().leftovers == ()
        finally:
            stop.set()
        repeating.result()


def test_leftovers_beside_a_changed_schema(place: MakePlace) -> None:
    """What a test left is told also when it changed the schema, so that the database is made anew."""
    made = place(SCHEMA)
    isolation = made.isolation()
    isolation.prepare()
    client = made.client()
    client.execute("SELECT pg_advisory_lock(7)")
    made.run("CREATE TABLE more ()")
    restored = isolation.restore()
    assert "table more" in restored.remade
    (leftover,) = restored.leftovers
    assert leftover.startswith("an advisory lock of the session pid ")
