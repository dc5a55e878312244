"""Which way of finding changes is taken, and that it does not matter which."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.isolation.probes import Probes
from pytest_pristine.isolation.wal_guided import WalGuided
from pytest_pristine.servers.cluster import Cluster, Login
from tests.conftest import Server, binaries, needs, new_cluster, new_role, new_server, wait_until
from tests.isolation.conftest import Client, MakePlace, Place, World
from tests.isolation.test_restore import MUTATIONS

SCHEMA = """
    CREATE TABLE lookup (id int PRIMARY KEY, label text);
    INSERT INTO lookup VALUES (1, 'one'), (2, 'two');
    CREATE TABLE empty (id serial PRIMARY KEY, text text);
    CREATE UNLOGGED TABLE unlogged (id int, text text);
    INSERT INTO unlogged VALUES (1, 'one'), (2, 'two');
    CREATE UNLOGGED TABLE unlogged_empty (id int);
    CREATE UNLOGGED SEQUENCE unlogged_numbers;
    SELECT nextval('unlogged_numbers');
"""
# More WAL than is worth reading.
MUCH = "INSERT INTO empty (text) SELECT repeat('x', 100) FROM generate_series(1, 10000)"

WAL = needs("pg_walinspect")


def way(isolation: Isolation, place: Place, *statements: str) -> type | None:
    """Write and restore; gives the way that was taken, None when nothing was looked for."""
    isolation._watch._way = None
    place.run(*statements)
    isolation.restore()
    taken = vars(isolation._watch)["_way"]
    return None if taken is None else type(taken)


def best(place: Place) -> type:
    """The way that suits the role."""
    return WalGuided if place.replica else Probes


@WAL
def test_the_way_that_suits_the_role(place: MakePlace) -> None:
    """A superuser reads the WAL on every version, a plain owner asks the relations."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    for statement in ("INSERT INTO empty (text) VALUES ('x')", "UPDATE lookup SET label = 'x'"):
        assert any(way(isolation, made, statement) is best(made) for _ in range(5))
        assert made.dump() == before


@contextmanager
def granted(server: Server, *grants: str) -> Iterator[Place]:
    """A place of a role with grants, where the extension that reads the WAL is installed."""
    with new_role(server, "CREATEDB") as role:
        name = sql.Identifier(str(role.username))
        with World(server, role, replica=True).place(SCHEMA) as place:
            with server.connect(place.name) as client:
                client.execute("CREATE EXTENSION pg_walinspect")
                for grant in grants:
                    client.execute(sql.SQL(grant).format(name))
            yield place


REPLICA = "GRANT SET ON PARAMETER session_replication_role TO {}"
READING = "GRANT pg_read_server_files TO {}"


@WAL
def test_a_role_that_was_granted_all(server: Server) -> None:
    """A role that was granted the replica role and the reading of the WAL restores as a superuser does."""
    with granted(server, REPLICA, READING) as place:
        isolation = place.isolation()
        before = place.dump()
        way(isolation, place, *MUTATING)
        assert eventually(lambda: way(isolation, place, *MUTATING) is WalGuided)
        assert place.dump() == before


@WAL
def test_a_role_that_may_only_read(server: Server) -> None:
    """A role that may read the WAL and nothing else finds changes by it, and puts them back as an owner does."""
    with granted(server, READING) as place:
        isolation = place.isolation()
        before = place.dump()
        way(isolation, place, *MUTATING)
        assert eventually(lambda: way(isolation, place, *MUTATING) is WalGuided)
        assert place.dump() == before


@WAL
def test_a_role_that_may_not_read(server: Server) -> None:
    """A role that was granted the replica role alone asks the relations."""
    with granted(server, REPLICA) as place:
        isolation = place.isolation()
        before = place.dump()
        way(isolation, place, *MUTATING)
        assert eventually(lambda: way(isolation, place, *MUTATING) is Probes)
        assert place.dump() == before


# A write of every kind.
MUTATING = (
    "INSERT INTO empty (text) VALUES ('x')", "DELETE FROM lookup WHERE id = 1", "INSERT INTO lookup VALUES (7, 'x')",
    "UPDATE unlogged SET text = 'x' WHERE id = 1", "INSERT INTO unlogged_empty VALUES (1)",
    "SELECT nextval('unlogged_numbers')",
)  # fmt: skip


@WAL
def test_much_is_not_read(place: MakePlace) -> None:
    """When much was written the relations are asked instead, and the WAL is read again after that."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    way(isolation, made, *MUTATING)
    assert way(isolation, made, MUCH, *MUTATING) is Probes
    assert made.dump() == before
    assert eventually(lambda: way(isolation, made, *MUTATING) is best(made))
    assert made.dump() == before


def eventually(true: Callable[[], bool]) -> bool:
    """Whether something is so at one of a few attempts: what else goes on in the server, autovacuum, may hinder it."""
    return any(true() for _ in range(5))


def recycle(place: Place) -> None:
    """Write WAL until the segments that were there are no more."""
    with place.server.connect() as client:
        for _ in range(3):
            client.execute("SELECT pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")
            client.execute("CHECKPOINT")


@WAL
def test_wal_that_is_gone(place: MakePlace) -> None:
    """When the WAL since the last restore was recycled, the relations are asked instead."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    way(isolation, made, *MUTATING)
    if isolation._watch.wal_guided is not None:
        isolation._watch.wal_guided.limit = 2**62
    made.run(*MUTATING)
    recycle(made)
    assert way(isolation, made) is Probes
    assert made.dump() == before
    assert eventually(lambda: way(isolation, made, *MUTATING) is best(made))
    assert made.dump() == before


def test_a_mark_beyond_the_wal(place: MakePlace) -> None:
    """When the WAL does not reach to where the last restore left off, the relations are asked instead."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    way(isolation, made, *MUTATING)
    isolation._mark = replace(isolation._mark, position="FFFFFFFF/0")
    assert way(isolation, made, *MUTATING) is Probes
    assert made.dump() == before


@dataclass
class Machine:
    """A server that can be stopped and started."""

    cluster: Cluster
    server: Server

    def restart(self) -> None:
        """Stop it in an orderly way, and start it again."""
        login = Login(str(self.server.url.username), str(self.server.url.password))
        self.cluster.stop()
        self.cluster.start(binaries(), login, self.server.url.port)

    def crash(self) -> None:
        """Kill one of its processes, as the system does that is short of memory: all sessions end."""
        with self.server.connect() as client:
            client.execute("CHECKPOINT")
            self.kill(client)

    def kill(self, client: Client) -> None:
        """Kill the process of a session, and wait until the server has recovered."""
        with self.server.connect() as witness:
            os.kill(client.info.backend_pid, signal.SIGKILL)
            wait_until(lambda: not _works(witness), "the server ends all sessions")
        wait_until(self._answers, "the server recovers")

    def _answers(self) -> bool:
        try:
            self.server.connect().close()
        except psycopg.OperationalError:
            return False
        return True


def _works(client: Client) -> bool:
    try:
        client.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A server of our own."""
    with new_cluster() as (cluster, server):
        yield Machine(cluster, server)


@WAL
@pytest.mark.parametrize("role", ["superuser", "owner"])
@pytest.mark.parametrize("how", ["restart", "crash"])
def test_a_server_that_was_restarted(machine: Machine, how: str, role: str) -> None:
    """What was written before and after the server went down is put back, and so is what was lost with it."""
    with new_role(machine.server, "CREATEDB") as owner:
        world = World(machine.server, machine.server.url if role == "superuser" else owner, role == "superuser")
        with world.place(SCHEMA) as place:
            isolation = place.isolation()
            before = place.dump()
            way(isolation, place, *MUTATING)
            place.run(*MUTATING)
            getattr(machine, how)()
            place.run("INSERT INTO empty (text) VALUES ('y')")
            isolation.restore()
            assert place.dump() == before
            getattr(machine, how)()
            isolation.restore()
            assert place.dump() == before
            assert eventually(lambda: way(isolation, place, *MUTATING) is best(place))
            assert place.dump() == before
            assert place.rebuilds == (2 if how == "crash" else 0)


def test_a_restore_that_is_lost(machine: Machine) -> None:
    """A crash may lose what was committed last, a restore among it, and what the test committed comes back."""
    with World(machine.server, machine.server.url, replica=True).place(SCHEMA) as place:
        isolation = place.isolation()
        before = place.dump()
        isolation.restore()
        with place.server.connect(place.name) as client:
            client.execute("SET synchronous_commit = on")
            client.execute("UPDATE lookup SET label = 'x'")
            isolation.restore()
            machine.kill(client)
        isolation.restore()
        assert place.dump() == before


@WAL
def test_our_session_was_ended(place: MakePlace) -> None:
    """When our own session was ended, what was written before and after that is put back, and later restores work."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    for statements in ((), ("UPDATE lookup SET label = 'x'",), (MUCH,)):
        made.run(*statements)
        pid = isolation._watch.connection.info.backend_pid
        made.ask(f"SELECT pg_terminate_backend({pid}, 10000)")
        assert way(isolation, made, *MUTATING) is Probes
        assert made.dump() == before
    assert eventually(lambda: way(isolation, made, *MUTATING) is best(made))
    assert made.rebuilds == 0


def test_both_ways_find_the_same(animal: Place) -> None:
    """Whatever is written, both ways put back the same rows."""
    before = animal.dump()
    found: list[dict[str, dict[str, int | None]]] = []
    for probing in (False, True):
        isolation = animal.isolation()
        found.append({})
        for what, statements in MUTATIONS.items():
            if probing:
                isolation._watch.wal_guided = None
            animal.run(*statements)
            found[-1][what] = dict(isolation.restore().rows)
            assert animal.dump() == before, what
        isolation.close()
    assert found[0] == found[1]


@pytest.mark.parametrize("statement", [
    "INSERT INTO unlogged_empty VALUES (1)",
    "INSERT INTO unlogged VALUES (3, 'x')",
    "UPDATE unlogged SET text = 'x'",
    "DELETE FROM unlogged WHERE id = 1",
    "TRUNCATE unlogged",
    "BEGIN; DELETE FROM unlogged WHERE id = 1; INSERT INTO unlogged VALUES (1, 'x'); COMMIT",
    "SELECT nextval('unlogged_numbers')",
    "SELECT setval('unlogged_numbers', 1, false)",
    "SELECT setval('unlogged_numbers', 77)",
    "BEGIN; SELECT nextval('unlogged_numbers'); ROLLBACK",
])  # fmt: skip
def test_what_is_not_logged(place: MakePlace, statement: str) -> None:
    """Unlogged tables and sequences are put back, though nothing of them is in the WAL, also at a second time."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    for _ in range(2):
        made.run(statement)
        assert isolation.restore()
        assert made.dump() == before
        assert not isolation.restore()


def test_numbers_that_a_session_took_in_advance(place: MakePlace) -> None:
    """A session that keeps numbers of a sequence in advance gives them up: its next one is the first again."""
    made = place("""
        CREATE SEQUENCE cached CACHE 10;
        CREATE SEQUENCE down INCREMENT -2 MAXVALUE 100 START 50 CACHE 5;
        SELECT setval('down', 40);
        CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY (CACHE 20), name text);
    """)
    isolation = made.isolation()
    before = made.dump()
    pooled, other = made.client(), made.client()
    for _ in range(3):
        for client in (pooled, other):
            for numbers in ((1, 38), (2, 36), (3, 34)):
                assert client.execute("SELECT nextval('cached')::int, nextval('down')::int").fetchone() == numbers
            assert client.execute("INSERT INTO t (name) VALUES ('x') RETURNING id").fetchone() == (1,)
            assert isolation.restore()
            assert made.dump() == before


def test_sequences_that_the_template_left_half_used(place: MakePlace) -> None:
    """A sequence with numbers logged ahead moves on without a trace in the WAL, and is put back all the same."""
    made = place("""
        CREATE SEQUENCE numbers;
        SELECT nextval('numbers');
        CREATE SEQUENCE called START 7;
        SELECT nextval('called'), nextval('called'), nextval('called');
    """)
    isolation = made.isolation()
    for number in range(4):
        made.run(*["SELECT nextval('numbers'), nextval('called')"] * (number + 1))
        assert len(isolation.restore().others) == 2
        assert made.ask("SELECT nextval('numbers'), nextval('called')") == "2|10"
        assert len(isolation.restore().others) == 2
        assert not isolation.restore()


def test_a_sequence_that_stands_where_it_stood_by_chance(place: MakePlace) -> None:
    """A sequence that came round to its place has numbers logged ahead, and is found when it moves on."""
    made = place("CREATE SEQUENCE round MAXVALUE 3 CYCLE; SELECT nextval('round')")
    isolation = made.isolation()
    isolation.restore()
    made.run(*["SELECT nextval('round')"] * 3)
    isolation.restore()
    made.run("SELECT nextval('round')")
    assert isolation.restore().others == ("sequence round",)
    assert made.ask("SELECT last_value FROM round") == "1"


def test_a_view_that_held_no_data(place: MakePlace) -> None:
    """A materialized view that held no data, and was refreshed, holds none again without a new database."""
    made = place("CREATE TABLE t (id int); CREATE MATERIALIZED VIEW v AS SELECT * FROM t WITH NO DATA")
    isolation = made.isolation()
    before = made.dump()
    for _ in range(2):
        made.run("INSERT INTO t VALUES (1)", "REFRESH MATERIALIZED VIEW v")
        assert "materialized view v" in isolation.restore().others
        assert made.dump() == before
    assert made.rebuilds == 0


def test_rows_that_we_wrote_ourselves(place: MakePlace) -> None:
    """Rows that a restore wrote anew are rows of the baseline to the next one."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    made.run("UPDATE lookup SET label = 'x'")
    isolation.restore()
    made.run("INSERT INTO lookup VALUES (3, 'x')")
    assert dict(isolation.restore().rows) == {"lookup": 1}
    assert made.dump() == before


def test_rows_written_in_subtransactions(place: MakePlace) -> None:
    """Rows of savepoints and of blocks that catch exceptions are put back, whatever became of their siblings."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    made.run(
        "BEGIN; SAVEPOINT a; INSERT INTO lookup VALUES (3, 'x'); SAVEPOINT b; UPDATE lookup SET label = 'y';"
        " ROLLBACK TO b; UPDATE lookup SET label = 'z' WHERE id = 1; RELEASE a; COMMIT",
        "DO $$ BEGIN FOR n IN 3..40 LOOP BEGIN INSERT INTO lookup VALUES (n, 'x'); INSERT INTO empty DEFAULT VALUES;"
        " EXCEPTION WHEN unique_violation THEN UPDATE lookup SET label = 'again' WHERE id = n; END; END LOOP; END $$",
    )
    assert dict(isolation.restore().rows).keys() == {"lookup", "empty"}
    assert made.dump() == before


def test_rows_that_were_copied(place: MakePlace) -> None:
    """COPY writes many rows in one record; frozen ones, which are as old as anything, are found as well."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    client = made.client()
    for statement in ("COPY lookup FROM STDIN", "COPY unlogged FROM STDIN"):
        with client.cursor().copy(statement) as copy:
            for number in range(3, 300):
                copy.write_row((number, "copied"))
    assert dict(isolation.restore().rows) == {"lookup": 297, "unlogged": 297}
    assert made.dump() == before
    with client.transaction():
        client.execute("TRUNCATE lookup, empty")
        with client.cursor().copy("COPY lookup FROM STDIN (FREEZE)") as copy:
            copy.write_row((1, "frozen"))
            copy.write_row((2, "two"))
        with client.cursor().copy("COPY empty FROM STDIN (FREEZE)") as copy:
            copy.write_row((1, "frozen"))
    isolation.restore()
    assert made.dump() == before
    assert made.rebuilds == 0


@pytest.mark.parametrize("label", ["one", "other"])
@pytest.mark.parametrize("ending", ["", " RESTART IDENTITY", " CASCADE"])
def test_truncated_and_filled_again(place: MakePlace, ending: str, label: str) -> None:
    """A table that was truncated and filled with as many rows, the same or others, holds its own again."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    isolation.restore()  # the first one asks, whatever the role
    made.run(f"TRUNCATE lookup, empty, unlogged{ending}",
             f"INSERT INTO lookup VALUES (1, '{label}'), (2, 'two')",
             f"INSERT INTO unlogged VALUES (1, '{label}'), (2, 'two')")  # fmt: skip
    assert isolation.restore()
    assert made.dump() == before
    assert not isolation.restore()
    assert made.rebuilds == 0


def test_a_hundred_thousand_rows_of_the_baseline(place: MakePlace) -> None:
    """Of a large table those rows are put back that were touched: none, one, or some."""
    made = place("""
        CREATE TABLE large (id int PRIMARY KEY, label text);
        INSERT INTO large SELECT n, 'label ' || n FROM generate_series(1, 100000) n;
        CREATE TABLE small (id int);
    """)
    isolation = made.isolation()
    before = made.dump()
    for touched in (0, 1, 10):
        made.run("INSERT INTO small VALUES (1)", f"UPDATE large SET label = 'x' WHERE id <= {touched}",
                 f"DELETE FROM large WHERE id BETWEEN 1001 AND 1000 + {touched}",
                 f"INSERT INTO large SELECT 200000 + n FROM generate_series(1, {touched}) n")  # fmt: skip
        found = dict(isolation.restore().rows)
        assert found.pop("small") == 1
        assert found.keys() == ({"large"} if touched else set())
        assert made.dump() == before
        assert not isolation.restore()


READING_ONLY = (
    "SELECT * FROM lookup, unlogged, empty",
    "BEGIN; SELECT * FROM lookup; SELECT last_value FROM unlogged_numbers; COMMIT",
    "BEGIN READ ONLY; SELECT count(*) FROM lookup; ROLLBACK",
    "EXPLAIN ANALYZE SELECT * FROM lookup",
)


def test_a_test_that_only_reads(place: MakePlace) -> None:
    """After a test that only read, nothing is looked for: one round trip tells."""
    made = place(SCHEMA)
    isolation = made.isolation()
    way(isolation, made, *MUTATING)
    assert eventually(lambda: way(isolation, made, *READING_ONLY) is None)


def test_one_round_trip(one_place: MakePlace, tmp_path: Path) -> None:
    """A restore after a test that only read waits for one answer."""
    made = one_place(SCHEMA)
    isolation = made.isolation()
    isolation.restore()
    connection = isolation._watch.connection.pgconn

    def once() -> bool:
        made.run(*READING_ONLY)
        with (tmp_path / "messages").open("w+", encoding="utf-8") as messages:
            connection.trace(messages.fileno())
            isolation.restore()
            connection.untrace()
            messages.seek(0)
            return sum("\tReadyForQuery\t" in line for line in messages) == 1

    assert eventually(once)


@pytest.mark.parametrize("maintenance", [
    ["SELECT count(*) FROM lookup", "SELECT count(*) FROM unlogged", "SELECT count(*) FROM empty"],
    ["VACUUM"], ["ANALYZE"], ["VACUUM ANALYZE"], ["VACUUM FREEZE"], ["CHECKPOINT"],
    ["SELECT * FROM lookup FOR UPDATE", "SELECT * FROM lookup FOR KEY SHARE"],
    ["UPDATE lookup SET label = 'x' WHERE false", "DELETE FROM lookup WHERE false"],
])  # fmt: skip
def test_upkeep_leaves_nothing_to_do(place: MakePlace, maintenance: list[str]) -> None:
    """Hint bits, row locks, vacuuming and statistics change no row, and nothing is put back."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    made.run(*MUTATING, "UPDATE lookup SET label = label")
    assert isolation.restore()
    superuser = made.superuser()
    for statement in maintenance:
        superuser.execute(statement)
    assert not isolation.restore()
    assert not isolation.restore()
    assert made.dump() == before


def test_more_relations_than_locks() -> None:
    """A schema with more tables than a server can lock at once is asked part by part."""
    few = "max_connections = 20\nmax_locks_per_transaction = 10\nmax_worker_processes = 1\nmax_wal_senders = 0\n"
    names = [f"table_{number}" for number in range(6000)]
    with (
        new_server(few) as server,
        new_role(server, "CREATEDB") as owner,
        World(server, owner, replica=False).place() as place,
    ):
        # Each in a transaction of its own: together they cannot be made either.
        place.run(*(f"CREATE TABLE {name} (id int)" for name in names))
        with pytest.raises(psycopg.errors.OutOfMemory):
            place.run(f"BEGIN; LOCK {', '.join(names)} IN SHARE MODE")
        isolation = place.isolation()
        assert way(isolation, place, "INSERT INTO table_7 VALUES (1)") is Probes
        assert place.ask("SELECT count(*) FROM table_7") == "0"
        assert place.rebuilds == 0
