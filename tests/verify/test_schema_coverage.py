"""Schema coverage: what was touched counts, what was not does not, and we ourselves touch nothing."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Column, Enum, Integer, MetaData, Table, event, text
from sqlalchemy import exc as sqlalchemy_errors
from sqlalchemy.engine import URL, Engine

from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.postgres import capabilities, connections, engines
from pytest_pristine.servers.cluster import Cluster
from pytest_pristine.verify.schema_coverage.coverage import SchemaCoverage
from tests.conftest import EXTENSION, Server, new_cluster, new_database, new_role, wait_until

SCHEMA = r"""
    CREATE TYPE status AS ENUM ('new', 'paid', 'sent', 'lost');
    CREATE DOMAIN positive AS integer NOT NULL CHECK (VALUE > 0);
    CREATE TABLE alembic_version (version_num text PRIMARY KEY);
    CREATE TABLE customers (id int PRIMARY KEY, email text NOT NULL UNIQUE);
    CREATE TABLE orders (
        id int PRIMARY KEY, customer int REFERENCES customers, total int CHECK (total >= 0), state status DEFAULT 'new',
        amount positive DEFAULT 1, history status[]);
    CREATE INDEX by_customer ON orders (customer);
    CREATE TABLE rooms (room int, during int4range, EXCLUDE USING gist (during WITH &&));
    CREATE TABLE log (id serial PRIMARY KEY, line text NOT NULL);
    CREATE TABLE idle (id int PRIMARY KEY, other int NOT NULL CHECK (other <> 7));
    CREATE FUNCTION double(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2 * n; END';
    CREATE FUNCTION never() RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2; END';
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE FUNCTION alone() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER customers_noted BEFORE UPDATE ON customers FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER orders_noted BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION note();
    CREATE TRIGGER log_alone BEFORE INSERT ON log FOR EACH ROW EXECUTE FUNCTION alone();
    CREATE TABLE days (day int NOT NULL, what text CHECK (what <> 'x'), PRIMARY KEY (day)) PARTITION BY RANGE (day);
    CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (10);
    CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM (10) TO (20);
    CREATE TABLE animals (name text NOT NULL, CONSTRAINT named CHECK (name <> ''));
    CREATE TABLE birds (wings int) INHERITS (animals);
    CREATE VIEW open_orders AS SELECT o.id, c.email FROM orders o JOIN customers c ON c.id = o.customer;
    CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM customers;
    CREATE SCHEMA "My ""odd"".schema %";
    CREATE TABLE "My ""odd"".schema %"."Ta""ble.% x" (
        "Co""l.% x" int NOT NULL, n int, CONSTRAINT "che""ck.% x" CHECK (n > 0), CONSTRAINT "uni""que.% x" UNIQUE (n));
    INSERT INTO customers VALUES (1, 'root'), (2, 'other');
    INSERT INTO orders VALUES (1, 1, 0, 'lost', 1);
    REFRESH MATERIALIZED VIEW totals;
"""
ODD_SCHEMA, ODD = 'My "odd".schema %', '"My ""odd"".schema %"."Ta""ble.% x"'
ODD_TABLE = f'{ODD_SCHEMA}.Ta"ble.% x'
Object = tuple[str, str, str]


@dataclass
class World:
    """A database with the schema, observed.

    Attributes:
        url: Where it is.
        coverage: Observes it.
        engine: The tests' own.
        isolation: Restores it.
    """

    url: URL
    coverage: SchemaCoverage
    engine: Engine
    isolation: Isolation

    def run(self, *statements: str, **parameters: object) -> None:
        """Run statements on the engine, in one transaction."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement), parameters)

    def fail(self, *statements: str) -> None:
        """The same with statements that a constraint rejects."""
        with pytest.raises(sqlalchemy_errors.IntegrityError):
            self.run(*statements)

    def touched(self) -> set[Object]:
        """End a test: what it touched. The database is restored."""
        found = self.coverage.after_test()
        restored = self.isolation.restore()
        self.isolation.tell_counts()
        tables = [table for table, _ in restored.rows]
        self.coverage.after_restore(tables, remade=bool(restored.remade))
        return self.named([*found, *self.coverage.written(tables)])

    def named(self, numbers: list[int]) -> set[Object]:
        """Objects by number."""
        return {self._named(number) for number in numbers}

    def _named(self, number: int) -> Object:
        found = self.coverage.objects[number]
        return found.kind, found.shown_table, found.shown

    def every(self) -> set[Object]:
        """All objects."""
        return self.named(list(range(len(self.coverage.objects))))

    def other_process(self, statement: str) -> None:
        """Run a statement in another process, which may be rejected."""
        url = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        program = "import psycopg, sys\nwith psycopg.connect(sys.argv[1]) as c: c.execute(sys.argv[2])"
        subprocess.run([sys.executable, "-c", program, url, statement], check=False, capture_output=True)

    def wait_for_end_of(self, pid: int) -> None:
        """Wait for a session to be gone, whose counts are told by then."""
        asked = text("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = :pid)")
        with self.engine.connect() as connection:
            wait_until(lambda: connection.execute(asked, {"pid": pid}).scalar_one(), "the session ends")


@contextlib.contextmanager
def observed(server: Server, log: Path | None, role: URL | None = None) -> Iterator[World]:
    """A database with the schema, observed by a role."""
    with new_database(server, str(role.username) if role else None) as made:
        with server.connect(url=made) as client:
            client.execute(f"CREATE EXTENSION {EXTENSION}".encode())
        url = made.set(username=role.username, password=role.password) if role else made
        with server.connect(url=url) as client:
            client.execute(SCHEMA.encode())
        with connections.connect(url, "test") as connection:
            can = capabilities.inspect(connection)
        isolation = Isolation(url, Coverage(), capabilities=can, timeout=5, rebuild=lambda: None, uncounted=True)
        coverage = SchemaCoverage.begin(url, can, log)
        engine = engines.create(url, 5)
        coverage.attach(engine)
        event.listen(
            engine, "after_cursor_execute", lambda _c, _u, sql, given, how, _m: coverage.statement(sql, given, how)
        )
        event.listen(engine, "handle_error", lambda how: coverage.error(how.original_exception))
        world = World(url, coverage, engine, isolation)
        world.isolation.restore()
        world.touched()
        try:
            yield world
        finally:
            engine.dispose()
            isolation.close()
            coverage._connection.close()


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Cluster, Server]]:
    """A server whose log we may read."""
    with new_cluster() as made:
        yield made


@pytest.fixture(scope="module")
def _world(cluster: tuple[Cluster, Server]) -> Iterator[World]:
    with observed(cluster[1], cluster[0].log) as world:
        yield world


@pytest.fixture
def world(_world: World) -> World:
    """An observed database, pristine, in which no test has run."""
    _world.touched()
    _world.coverage._touched.clear()
    return _world


def test_values_that_are_known_are_told_by_statements_alone(world: World) -> None:
    """Rows are searched until each value of a table's enums is known to be stored; then statements alone tell."""
    values = ("new", "paid", "sent", "lost")
    world.run(*(f"INSERT INTO orders (id, state) VALUES ({n}, '{each}')" for n, each in enumerate(values, start=20)))
    assert {("enum value", "", f"status: {each}") for each in values} <= world.touched()
    world.run("INSERT INTO orders (id, state, history) VALUES (7, NULL, '{sent}')")
    assert ("enum value", "", "status: sent") not in world.touched()
    world.run("INSERT INTO orders (id, state) VALUES (8, 'sent')")
    assert ("enum value", "", "status: sent") in world.touched()


@pytest.fixture
def quiet(cluster: tuple[Cluster, Server]) -> Iterator[World]:
    """One of its own, whose server's log is not ours to read, for what it says in the end."""
    with observed(cluster[1], None) as world:
        yield world


def test_objects_are_those_of_the_schema_and_stand_in_one_order(world: World) -> None:
    """Nothing of extensions, of alembic's and of single partitions is an object; children have what is theirs alone."""
    every = world.every()
    places = [found.place for found in world.coverage.objects]
    assert places == sorted(places)
    assert len(every) == len(places)
    assert not [
        found
        for found in every
        if "alembic" in found[1] + found[2] or "gbt" in found[2] or found[1].startswith("days_")
    ]
    assert {kind for kind, _, _ in every} == {
        "table written", "table read", "check", "unique", "foreign key", "not null", "exclude", "index", "function",
        "trigger", "enum value",
    }  # fmt: skip
    assert ("check", "birds", "named") not in every
    assert ("check", "animals", "named") in every
    assert ("table written", "", "birds") in every
    assert ("unique", "days", "days_pkey") in every
    assert ("table read", "", "totals") in every
    assert ("table written", "", "totals") not in every
    assert ("not null", "customers", "id") not in every


def test_a_restore_touches_nothing(world: World) -> None:
    """Restores, probes and our own looks leave no trace: a test that does nothing touches nothing."""
    world.run("INSERT INTO orders VALUES (2, 1, 5, 'paid')", "DELETE FROM customers WHERE id = 2")
    world.touched()
    world.isolation.prepare()
    assert world.touched() == set()


CASES: dict[str, tuple[str, set[Object], set[Object]]] = {
    "insert": (
        "INSERT INTO idle VALUES (1, 1)",
        {("table written", "", "idle")},
        {("table read", "", "idle"), ("index", "idle", "idle_pkey")},
    ),
    "select": ("SELECT * FROM rooms", {("table read", "", "rooms")}, {("table written", "", "rooms")}),
    "update of nothing": ("UPDATE idle SET other = 1", {("table read", "", "idle")}, {("table written", "", "idle")}),
    "truncate": ("TRUNCATE orders", {("table written", "", "orders")}, {("table written", "", "customers")}),
    "view": (
        "SELECT * FROM open_orders",
        {("table read", "", "orders"), ("table read", "", "customers")},
        {("table read", "", "idle")},
    ),
    "materialized view": ("SELECT * FROM totals", {("table read", "", "totals")}, {("table read", "", "customers")}),
    "partition": ("INSERT INTO days VALUES (3, 'a')", {("table written", "", "days")}, {("table read", "", "days")}),
    "partition by its name": ("SELECT * FROM days_2", {("table read", "", "days")}, {("table written", "", "days")}),
    "child": (
        "INSERT INTO birds VALUES ('robin', 2)",
        {("table written", "", "birds")},
        {("table written", "", "animals")},
    ),
    "function": ("SELECT double(2)", {("function", "", "double(n integer)")}, {("function", "", "never()")}),
    "trigger alone": (
        "INSERT INTO log (line) VALUES ('x')",
        {("trigger", "log", "log_alone"), ("function", "", "alone()")},
        {("trigger", "orders", "orders_noted")},
    ),
    "trigger among others": (
        "UPDATE orders SET total = 4",
        {("trigger", "orders", "orders_noted"), ("function", "", "note()")},
        {("trigger", "customers", "customers_noted")},
    ),
    "enum in a row": (
        "UPDATE orders SET state = 'paid'",
        {("enum value", "", "status: paid")},
        {("enum value", "", "status: lost")},
    ),
    "enum by default": (
        "INSERT INTO orders (id) VALUES (7)",
        {("enum value", "", "status: new")},
        {("enum value", "", "status: sent")},
    ),
    "enum in an array": (
        "INSERT INTO orders (id, state, history) VALUES (7, NULL, '{sent}')",
        {("enum value", "", "status: sent")},
        {("enum value", "", "status: new")},
    ),
    "enum asked for": (
        "UPDATE orders SET total = 3 WHERE state <> 'paid' AND state <> 'sent'",
        {("table written", "", "orders")},
        {("enum value", "", "status: paid"), ("enum value", "", "status: sent")},
    ),
    "hostile": (
        f"INSERT INTO {ODD} VALUES (1, 1)",
        {("table written", "", ODD_TABLE)},
        {("check", ODD_TABLE, 'che"ck.% x')},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_touched_counts_and_what_was_not_does_not(world: World, case: str) -> None:
    """Each kind of object is found where it was touched, and a neighbour that was not is not."""
    statement, touched, untouched = CASES[case]
    world.run(statement)
    found = world.touched()
    assert touched <= found
    assert not untouched & found
    assert untouched <= world.every()


VIOLATIONS: dict[str, tuple[str, Object]] = {
    "check": ("INSERT INTO orders (id, total) VALUES (7, -1)", ("check", "orders", "orders_total_check")),
    "primary key": ("INSERT INTO customers VALUES (1, 'x')", ("unique", "customers", "customers_pkey")),
    "unique": ("INSERT INTO customers VALUES (7, 'root')", ("unique", "customers", "customers_email_key")),
    "foreign key": ("INSERT INTO orders VALUES (7, 99)", ("foreign key", "orders", "orders_customer_fkey")),
    "referenced": ("DELETE FROM customers WHERE id = 1", ("foreign key", "orders", "orders_customer_fkey")),
    "not null": ("INSERT INTO customers VALUES (7, NULL)", ("not null", "customers", "email")),
    "exclude": (
        "INSERT INTO rooms VALUES (1, '[1,5)'), (1, '[2,3)')", ("exclude", "rooms", "rooms_during_excl")),
    "domain": ("SELECT (-1)::positive", ("check", "positive", "positive_check")),
    "domain not null": ("SELECT NULL::positive", ("not null", "positive", "positive")),
    "partition check": ("INSERT INTO days VALUES (3, 'x')", ("check", "days", "days_what_check")),
    "partition key": ("INSERT INTO days VALUES (12, 'a'), (12, 'a')", ("unique", "days", "days_pkey")),
    "inherited check": ("INSERT INTO birds VALUES ('', 2)", ("check", "animals", "named")),
    "inherited not null": ("INSERT INTO birds VALUES (NULL, 2)", ("not null", "animals", "name")),
    "hostile check": (f"INSERT INTO {ODD} VALUES (1, -1)", ("check", ODD_TABLE, 'che"ck.% x')),
    "hostile unique": (f"INSERT INTO {ODD} VALUES (1, 1), (1, 1)", ("unique", ODD_TABLE, 'uni"que.% x')),
    "hostile not null": (f"INSERT INTO {ODD} VALUES (NULL, 1)", ("not null", ODD_TABLE, 'Co"l.% x')),
}  # fmt: skip
_CONSTRAINTS = ("check", "unique", "foreign key", "not null", "exclude")


def _constraints(found: set[Object]) -> set[Object]:
    return {each for each in found if each[0] in _CONSTRAINTS}


@pytest.mark.parametrize("case", VIOLATIONS)
def test_a_constraint_that_was_provoked_counts_and_no_other(quiet_world: World, case: str) -> None:
    """An error names its constraint, without the server's log."""
    statement, expected = VIOLATIONS[case]
    quiet_world.fail(statement)
    assert _constraints(quiet_world.touched()) == {expected}


@pytest.mark.parametrize("case", VIOLATIONS)
def test_an_error_in_another_process_counts(world: World, case: str) -> None:
    """The server's log tells of the constraint, whatever its name holds."""
    statement, expected = VIOLATIONS[case]
    world.other_process(statement)
    assert _constraints(world.touched()) == {expected}


@pytest.fixture(scope="module")
def quiet_world(cluster: tuple[Cluster, Server]) -> Iterator[World]:
    """A database that is observed without the server's log."""
    with observed(cluster[1], None) as world:
        yield world


def test_without_the_log_it_is_said_that_errors_elsewhere_are_not_seen(quiet: World) -> None:
    """An error in another process is no error that counts then, and that is said."""
    quiet.other_process("INSERT INTO customers VALUES (1, 'x')")
    assert _constraints(quiet.touched()) == set()
    assert [line for line in quiet.coverage.finish()["untold"] if "other processes" in line]


def test_an_error_in_another_database_does_not_count(world: World, cluster: tuple[Cluster, Server]) -> None:
    """The log of a server tells of all its databases."""
    with observed(cluster[1], None) as other:
        other.fail("INSERT INTO customers VALUES (1, 'x')")
    assert world.touched() == set()


def test_each_test_has_what_it_touched(world: World) -> None:
    """What one test touched is not found in the next."""
    world.run("INSERT INTO idle VALUES (1, 1)")
    first = world.touched()
    world.run("SELECT * FROM rooms")
    second = world.touched()
    assert ("table written", "", "idle") in first
    assert second == {("table read", "", "rooms")}


def test_another_process_that_ended_counts_for_its_test(world: World) -> None:
    """A session tells at its end what it did."""
    world.other_process("INSERT INTO idle VALUES (1, 1)")
    assert ("table written", "", "idle") in world.touched()


def test_what_a_session_of_others_did_counts_in_total_alone(quiet: World) -> None:
    """Its counts may come late: while it is there, and in the test in which it ends, none is ascribed to a test."""
    with psycopg.connect(quiet.url.set(drivername="postgresql").render_as_string(hide_password=False)) as client:
        client.execute("SELECT * FROM rooms")
        client.commit()
        assert quiet.touched() == set()
        pid = client.info.backend_pid
    quiet.wait_for_end_of(pid)
    assert quiet.touched() == set()
    found = quiet.coverage.finish()
    assert ["table read", "rooms", ""] in [found["objects"][number] for number in found["touched"]]


@pytest.mark.parametrize("other", [{"replication": "database"}, {"application_name": "pristine: elsewhere"}], ids=str)
def test_a_client_that_comes_when_a_session_of_another_kind_ends_is_seen(
    quiet: World, cluster: tuple[Cluster, Server], other: dict[str, str]
) -> None:
    """The number of sessions stays as it was then, and what the client did is ascribed to no test."""
    url = quiet.url.set(drivername="postgresql").render_as_string(hide_password=False)
    is_there = "SELECT FROM pg_stat_activity WHERE pid = %s"
    with cluster[1].connect() as elsewhere:
        with psycopg.connect(url, autocommit=True, **other) as another:
            pid = another.info.backend_pid
            assert quiet.touched() == set()
        wait_until(lambda: elsewhere.execute(is_there, [pid]).fetchone() is None, "the other session ends")
        with psycopg.connect(url) as client:
            client.execute("SELECT * FROM rooms")
            client.commit()
            assert quiet.touched() == set()
            pid = client.info.backend_pid
        wait_until(lambda: elsewhere.execute(is_there, [pid]).fetchone() is None, "the client ends")
    assert quiet.touched() == set()


def test_an_index_counts_when_it_serves_a_scan(world: World) -> None:
    """An index that merely keeps values unique serves none."""
    world.run("SET LOCAL enable_seqscan = off", "SELECT * FROM orders WHERE customer = 1")
    assert {found for found in world.touched() if found[0] == "index"} == {("index", "orders", "by_customer")}


def test_a_state_in_between_counts(world: World) -> None:
    """A value that a statement stored counts, though a later one replaced it before the test ended."""
    world.run("INSERT INTO orders (id, state) VALUES (7, :state)", state="paid")
    world.run("UPDATE orders SET state = CAST(:a AS status) WHERE id = 7", a="sent")
    world.run("UPDATE orders AS o SET total = 1, state = :state WHERE id = 7", state="sent")
    world.run("UPDATE orders SET state = NULL")
    assert {found for found in world.touched() if found[0] == "enum value"} == {
        ("enum value", "", "status: paid"), ("enum value", "", "status: sent"),
    }  # fmt: skip


def test_a_value_that_reached_no_row_does_not_count(world: World) -> None:
    """An UPDATE that finds no row stores nothing, nor does an INSERT that meets a conflict, or one that fails."""
    world.run("UPDATE orders SET state = 'paid' WHERE id = 99")
    world.run("INSERT INTO orders (id, state) VALUES (1, 'paid') ON CONFLICT DO NOTHING")
    world.fail("INSERT INTO orders (id, state) VALUES (1, 'sent')")
    assert {found for found in world.touched() if found[0] == "enum value"} == set()


def test_values_that_sqlalchemy_stored_count(world: World) -> None:
    """Also those of many rows in one INSERT."""
    kind = Enum("new", "paid", "sent", "lost", name="status", create_type=False)
    orders = Table("orders", MetaData(), Column("id", Integer, primary_key=True), Column("state", kind))
    with world.engine.begin() as connection:
        connection.execute(
            orders.insert().returning(orders.c.id), [{"id": 7, "state": "paid"}, {"id": 8, "state": "new"}]
        )
        connection.execute(
            orders.insert().returning(orders.c.id, sort_by_parameter_order=True),
            [{"id": 9, "state": "sent"}, {"id": 10, "state": "sent"}],
        )
        connection.execute(orders.update().where(orders.c.state == "lost").values(state=None))
        connection.execute(orders.delete().where(orders.c.id >= 7))
    assert {found for found in world.touched() if found[0] == "enum value"} == {
        ("enum value", "", f"status: {label}") for label in ("paid", "new", "sent")
    }


def test_a_role_that_is_no_superuser_has_nothing_of_ours_counted(cluster: tuple[Cluster, Server]) -> None:
    """What its restores read and write is subtracted."""
    with new_role(cluster[1], "CREATEDB") as role, observed(cluster[1], cluster[0].log, role) as world:
        world.run("INSERT INTO orders VALUES (2, 1, 5, 'paid')", "DELETE FROM customers WHERE id = 2")
        found = world.touched()
        assert {("table written", "", "orders"), ("table written", "", "customers")} <= found
        world.isolation.prepare()
        world.isolation.tell_counts()
        world.coverage.after_restore()
        assert world.touched() == set()
        world.run("SELECT double(2)")
        assert ("function", "", "double(n integer)") in world.touched()


def test_the_total_holds_what_any_test_touched(quiet: World) -> None:
    """And nothing else."""
    quiet.run("INSERT INTO idle VALUES (1, 1)")
    quiet.touched()
    quiet.fail("INSERT INTO idle VALUES (1, NULL)")
    quiet.touched()
    found = quiet.coverage.finish()
    assert sorted(found["objects"][number] for number in found["touched"]) == [
        ["not null", "other", "idle"], ["table written", "idle", ""],
    ]  # fmt: skip
