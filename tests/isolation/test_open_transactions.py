"""Transactions that were open while the database was restored, and are committed later."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from psycopg import sql

from pytest_pristine.isolation import gate, watch
from pytest_pristine.isolation.changes import Mark
from pytest_pristine.isolation.gate import Ahead, Look
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.isolation.restored import Written
from tests.conftest import needs
from tests.isolation.conftest import Client, MakePlace, Place

SCHEMA = """
    CREATE TABLE lookup (id int PRIMARY KEY, label text);
    INSERT INTO lookup VALUES (1, 'one'), (2, 'two'), (3, 'three');
    CREATE TABLE empty (id serial PRIMARY KEY, text text);
    CREATE TABLE other (id serial PRIMARY KEY, text text);
    CREATE UNLOGGED TABLE unlogged (id int);
"""

# What a transaction writes before a restore and commits after it.
OPEN = {
    "rows inserted": ["INSERT INTO empty (text) VALUES ('late')", "INSERT INTO lookup VALUES (4, 'late')"],
    "rows updated": ["UPDATE lookup SET label = 'late' WHERE id = 2"],
    "rows deleted": ["DELETE FROM lookup WHERE id = 2"],
    "an unlogged row": ["INSERT INTO unlogged VALUES (1)"],
    "rows inserted in a subtransaction": [
        "SAVEPOINT a", "INSERT INTO empty (text) VALUES ('late')", "INSERT INTO lookup VALUES (4, 'late')",
    ],
    "rows updated in a subtransaction": ["SAVEPOINT a", "UPDATE lookup SET label = 'late' WHERE id = 2"],
    "rows deleted in a subtransaction": ["SAVEPOINT a", "DELETE FROM lookup WHERE id = 2"],
    "one of three subtransactions rolled back": [
        "SAVEPOINT a", "UPDATE lookup SET label = 'late' WHERE id = 1", "SAVEPOINT b",
        "UPDATE lookup SET label = 'later' WHERE id = 1", "ROLLBACK TO b", "RELEASE a", "SAVEPOINT c",
        "UPDATE lookup SET label = 'latest' WHERE id = 3",
    ],
}  # fmt: skip


def write_elsewhere(place: Place, isolation: Isolation) -> None:
    """Write to another table."""
    place.run("INSERT INTO other (text) VALUES ('x')")


def write_much(place: Place, isolation: Isolation) -> None:
    """Write so much to another table that the WAL is not worth reading."""
    place.run("INSERT INTO other (text) SELECT repeat('x', 100) FROM generate_series(1, 10000)")


def end_our_session(place: Place, isolation: Isolation) -> None:
    """End the session that restores."""
    pid = isolation._watch.connection.info.backend_pid
    place.ask(f"SELECT pg_terminate_backend({pid}, 10000)")
    place.run("INSERT INTO other (text) VALUES ('x')")


def nothing(place: Place, isolation: Isolation) -> None:
    """Do nothing."""


Happening = Callable[[Place, Isolation], None]

# What happens while the transaction is open, each followed by a restore.
MEANWHILE: dict[str, list[Happening]] = {
    "one restore": [nothing],
    "one restore of something": [write_elsewhere],
    "several restores": [write_elsewhere, nothing, write_elsewhere],
    "much written": [write_much],
    "much written in between": [write_elsewhere, write_much, write_elsewhere, nothing],
    "our session ended": [end_our_session],
    "our session ended in between": [write_elsewhere, end_our_session, nothing, write_much, end_our_session],
}


# Something of all kinds in one transaction.
ALL = [
    "INSERT INTO empty (text) VALUES ('late')", "UPDATE lookup SET label = 'late' WHERE id = 1",
    "INSERT INTO unlogged VALUES (1)", "SAVEPOINT a", "UPDATE lookup SET label = 'later' WHERE id = 2",
    "SAVEPOINT b", "DELETE FROM lookup WHERE id = 3", "INSERT INTO lookup VALUES (5, 'late')",
]  # fmt: skip


def begin(place: Place, statements: list[str]) -> Client:
    """A session with a transaction open that has executed the statements."""
    client = place.client()
    client.execute("BEGIN")
    for statement in statements:
        client.execute(statement)
    return client


def committed(place: Place, isolation: Isolation, before: str, client: Client, meanwhile: list[Happening]) -> None:
    """Check that what a session commits after the happenings is put back."""
    for happen in meanwhile:
        happen(place, isolation)
        isolation.restore()
    client.execute("COMMIT")
    assert isolation.restore()
    assert place.dump() == before
    assert not isolation.restore()
    assert place.rebuilds == 0


def test_a_sequence_that_it_advanced(place: MakePlace) -> None:
    """It is put back once, and not again when the transaction ends: nobody is told to have left it."""
    made = place(SCHEMA)
    isolation = made.isolation()
    client = begin(made, ["INSERT INTO empty (text) VALUES ('late')"])
    made.run("INSERT INTO other (text) VALUES ('mine')")
    assert any("empty_id_seq" in other for other in isolation.restore().others)
    client.execute("ROLLBACK")
    assert not isolation.restore()
    client.execute("SELECT nextval('empty_id_seq')")
    assert any("empty_id_seq" in other for other in isolation.restore().others)


@pytest.mark.parametrize("what", OPEN)
def test_whatever_it_wrote_is_put_back(place: MakePlace, what: str) -> None:
    """What it wrote before a few restores is put back by the first one after its commit."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    committed(made, isolation, before, begin(made, OPEN[what]), MEANWHILE["several restores"])


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_whatever_happens_meanwhile(place: MakePlace, meanwhile: str) -> None:
    """What it wrote is put back after its commit, whatever was written, restored or lost while it was open."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    committed(made, isolation, before, begin(made, ALL), MEANWHILE[meanwhile])


@pytest.mark.parametrize("what", OPEN)
def test_one_that_began_before_us(place: MakePlace, what: str) -> None:
    """What was open when the tests began, and is committed after that, is no part of the baseline."""
    made = place(SCHEMA)
    client = begin(made, OPEN[what])
    made.run("INSERT INTO other (text) VALUES ('mine')")
    isolation = made.isolation()
    before = made.dump()
    committed(made, isolation, before, client, [])


@pytest.mark.parametrize("subtransaction", [False, True])
def test_rows_written_under_an_old_id(place: MakePlace, subtransaction: bool) -> None:  # noqa: FBT001 - a parameter
    """A transaction that took its id before a restore, and writes after it, is found by the next one."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    client = begin(made, ["SELECT pg_current_xact_id()", *["SAVEPOINT a", "SELECT pg_current_xact_id()",
                   "INSERT INTO empty (text) VALUES ('x')"] * subtransaction])  # fmt: skip
    for happen in MEANWHILE["several restores"]:
        happen(made, isolation)
        isolation.restore()
    client.execute("UPDATE lookup SET label = 'late' WHERE id = 2")
    committed(made, isolation, before, client, [])


def test_many_that_end_one_after_another(place: MakePlace) -> None:
    """Of several open transactions each is put back when it ends, and those that are still open wait their turn."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    clients = [begin(made, [f"INSERT INTO lookup VALUES ({number}, 'late')"]) for number in (4, 5, 6)]
    assert not isolation.restore().rows
    for client in clients:
        client.execute("COMMIT")
        assert isolation.restore().rows
        assert made.dump() == before
    assert not isolation.restore()


def test_one_that_is_rolled_back(place: MakePlace) -> None:
    """What is rolled back in the end leaves no row to put back."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    client = begin(made, ALL)
    isolation.restore()
    client.execute("ROLLBACK")
    assert not isolation.restore().rows
    assert made.dump() == before
    assert not isolation.restore()


def test_long_transactions_in_other_databases(place: MakePlace) -> None:
    """Others in the cluster may have transactions open, begun before and after us: restores find what there is."""
    made = place(SCHEMA)
    with made.server.connect() as early, made.server.connect() as late:
        early.execute("BEGIN; SELECT pg_current_xact_id()")
        isolation = made.isolation()
        before = made.dump()
        late.execute("BEGIN; SAVEPOINT a; SELECT pg_current_xact_id()")
        client = begin(made, ALL)
        committed(made, isolation, before, client, MEANWHILE["our session ended in between"])
        for statement in ("UPDATE lookup SET label = 'x'", "SELECT nextval('empty_id_seq')", "DELETE FROM lookup"):
            made.run(statement)
            assert isolation.restore()
            assert not isolation.restore()
            assert made.dump() == before


def test_our_session_ended_while_nothing_was_open(place: MakePlace) -> None:
    """A transaction that began and ended while there was no session of ours is put back by the next one."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    pid = isolation._watch.connection.info.backend_pid
    made.ask(f"SELECT pg_terminate_backend({pid}, 10000)")
    committed(made, isolation, before, begin(made, ALL), [])


def test_one_that_ends_while_we_look(place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that is open when we look, writes once more and ends before we ask about its parts, is found."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    isolation.restore()
    client = begin(made, ["SELECT pg_current_xact_id()"])
    made.run("UPDATE lookup SET label = 'x' WHERE id = 1")
    isolation.restore()
    client.execute("SAVEPOINT a; INSERT INTO empty (text) VALUES ('late')")
    made.run("INSERT INTO other (text) VALUES ('x')")
    in_progress = watch._in_progress

    def late(*arguments: object) -> set[int]:
        if not client.closed:
            client.execute("UPDATE lookup SET label = 'late' WHERE id = 2")
            client.execute("COMMIT")
            client.close()
        return in_progress(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(watch, "_in_progress", late)
    isolation.restore()
    assert client.closed
    assert dict(isolation.restore().rows).get("lookup", 1) == 1, "row 1, which we wrote, is left alone"
    assert made.dump() == before
    made.run("INSERT INTO lookup VALUES (9, 'x')")
    assert dict(isolation.restore().rows) == {"lookup": 1}
    assert made.rebuilds == 0


def test_one_that_begins_while_we_look(place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that begins and writes after the look, and before the WAL is flushed, is found when it ends."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    isolation.restore()
    made.run("INSERT INTO other (text) VALUES ('x')")
    watch, clients = isolation._watch, list[Client]()

    def early(_: Mark) -> Look:
        seen = watch.gate.look()
        if not clients:
            clients.append(begin(made, ALL))
        return replace(seen, position=None)

    monkeypatch.setattr(watch, "look", early)
    isolation.restore()
    made.run("INSERT INTO other (text) VALUES ('x')")
    isolation.restore()
    committed(made, isolation, before, clients[0], [])


def test_one_that_begins_while_we_read_ahead(place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read ahead does not count when a transaction began meanwhile, whose writes it has without its name."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    isolation.restore()
    made.run("INSERT INTO other (text) VALUES ('x')")
    watch, clients = isolation._watch, list[Client]()
    look = watch.look

    def late(mark: Mark) -> Look:
        seen = look(mark)
        if clients or seen.ahead is None:
            return seen
        clients.append(begin(made, ALL))
        assert watch.wal_guided is not None
        reader = watch.wal_guided.reader
        flushed = reader.flush()
        writes = reader.written(mark.position, flushed.position, mark.own, writers=False)
        return replace(seen, ahead=Ahead(flushed, frozenset(writes)))

    monkeypatch.setattr(watch, "look", late)
    isolation.restore()
    made.run("INSERT INTO other (text) VALUES ('x')")
    isolation.restore()
    assert bool(clients) is (watch.wal_guided is not None), "roles that cannot read the WAL read nothing ahead"
    committed(made, isolation, before, clients[0] if clients else begin(made, ALL), [])


def test_suspicion_ends(place: MakePlace) -> None:
    """What an open transaction wrote is put back once, and not spoken of again when others write."""
    made = place(SCHEMA)
    isolation = made.isolation()
    isolation.restore()
    client = begin(made, ["INSERT INTO empty (text) VALUES ('late')"])
    made.run("INSERT INTO other (text) VALUES ('x')")
    isolation.restore()
    client.execute("COMMIT")
    write_much(made, isolation)
    isolation.restore()
    made.run("INSERT INTO other (text) VALUES ('x')")
    assert isolation.restore().others == ("sequence other_id_seq",)


@pytest.mark.parametrize("change", [
    "CREATE FUNCTION late() RETURNS int LANGUAGE sql AS 'SELECT 1'", "COMMENT ON TABLE lookup IS 'late'",
    "DROP FUNCTION early()", "ALTER FUNCTION early() STABLE", "ALTER TABLE lookup SET (fillfactor = 50)",
])  # fmt: skip
def test_a_schema_that_is_changed(place: MakePlace, change: str) -> None:
    """A change of the schema that is committed after some restores is found, and the database made anew."""
    made = place(SCHEMA + "CREATE FUNCTION early() RETURNS int LANGUAGE sql AS 'SELECT 1';")
    isolation = made.isolation()
    before = made.dump()
    isolation.restore()
    client = begin(made, [change])
    for happen in (nothing, write_elsewhere, nothing, write_elsewhere):
        happen(made, isolation)
        assert not isolation.restore().remade
    client.execute("COMMIT")
    assert isolation.restore().remade
    assert made.dump() == before
    assert made.rebuilds == 1


def test_one_that_begins_in_the_middle_of_a_look(place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction that begins and writes while the server looks at what others wrote is found when it ends."""
    after_looking = "        IF flushed = inserted THEN"
    assert after_looking in gate._BODY
    waiting = gate._BODY.replace(after_looking, f"        PERFORM pg_sleep(1);\n{after_looking}")
    monkeypatch.setattr(gate, "_BODY", waiting)
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    isolation.restore()
    made.run("INSERT INTO other (text) VALUES ('x')")
    client = made.client()
    with ThreadPoolExecutor(1) as pool:
        restoring = pool.submit(isolation.restore)
        time.sleep(0.3)
        for statement in ("BEGIN", *ALL):
            client.execute(statement)  # type: ignore[call-overload]
        restoring.result()
    committed(made, isolation, before, client, [])


def test_one_that_is_open_when_the_database_is_made_anew(place: MakePlace) -> None:
    """A transaction that begins and writes as soon as the database was made anew is found when it ends."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    clients: list[Client] = []
    rebuild = isolation._rebuild

    def rebuild_and_begin() -> None:
        rebuild()
        clients.append(begin(made, ALL))

    isolation._rebuild = rebuild_and_begin
    made.run("CREATE TABLE more ()")
    assert isolation.restore().remade
    clients[0].execute("COMMIT")
    assert isolation.restore()
    assert made.dump() == before
    assert made.rebuilds == 1


def test_a_restore_that_is_interrupted(place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a transaction wrote that was open is found also when the restore after its end was interrupted."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    isolation.restore()
    client = begin(made, ALL)
    write_elsewhere(made, isolation)
    isolation.restore()
    client.execute("COMMIT")

    def interrupt(*_: object, **__: object) -> Written:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(isolation, "_restorer", interrupt)
        with pytest.raises(KeyboardInterrupt):
            isolation.restore()
    assert isolation.restore()
    assert made.dump() == before


@needs("pg_walinspect")
def test_transactions_of_other_databases_do_not_matter(one_place: MakePlace) -> None:
    """While a transaction is open elsewhere the WAL is read again after the tables were asked once."""
    made = one_place(SCHEMA)
    isolation = made.isolation()
    with made.server.connect() as elsewhere:
        elsewhere.execute("BEGIN; SELECT pg_current_xact_id()")
        write_much(made, isolation)
        isolation.restore()
        assert isolation._mark.is_told
        write_elsewhere(made, isolation)
        isolation.restore()
        assert isolation._watch._way is isolation._watch.wal_guided


def test_a_transaction_elsewhere_that_changes_our_database(one_place: MakePlace) -> None:
    """What a transaction in another database does to ours, and commits after the tables were asked, is found."""
    made = one_place(SCHEMA)
    isolation = made.isolation()
    with made.server.connect() as elsewhere:
        elsewhere.execute("BEGIN")
        setting = sql.SQL("ALTER DATABASE {} SET work_mem = '5MB'").format(sql.Identifier(made.name))
        elsewhere.execute(setting)
        write_much(made, isolation)
        isolation.restore()
        isolation.restore()
        elsewhere.execute("COMMIT")
    assert "settings" in isolation.restore().remade
