"""Reading from the WAL what was written, on every version."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from pytest_pristine.postgres import connections, wal
from tests.conftest import needs, new_database, new_role

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from pytest_pristine.postgres.connections import Connection
    from pytest_pristine.postgres.wal import Reader
    from tests.conftest import Server

pytestmark = needs("pg_walinspect")

TABLES = """
    CREATE TABLE plain (id int PRIMARY KEY, name text);
    CREATE INDEX ON plain (name);
    CREATE TABLE other (id int PRIMARY KEY);
    CREATE TABLE large (text text);
    ALTER TABLE large ALTER text SET STORAGE EXTERNAL;
    CREATE SEQUENCE numbers;
    CREATE UNLOGGED TABLE unlogged (id int);
    INSERT INTO plain VALUES (1, 'one');
"""


@dataclass
class Written:
    """A database, and what is written in it between two looks.

    Attributes:
        reader: Reads it.
        client: Writes.
    """

    reader: Reader
    client: psycopg.Connection[tuple[object, ...]]
    position: str = field(default="")

    def names(self, own: tuple[int, ...] = ()) -> set[str | None]:
        """The relations written to since the last time, by their names; None for a file that is gone."""
        return {self.name(oid) for oid, _ in self.writes(own)}

    def writes(self, own: tuple[int, ...] = (), *, writers: bool = False) -> set[tuple[int | None, int]]:
        """What was written since the last time."""
        start, self.position = self.position, self.reader.flush().position
        return self.reader.written(start, self.position, own, writers=writers)

    def name(self, oid: int | None) -> str | None:
        """The name of a relation."""
        row = None if oid is None else self.client.execute("SELECT %s::oid::regclass::text", [oid]).fetchone()
        return None if row is None else str(row[0])

    def write(self, *statements: str) -> None:
        """Execute statements."""
        for statement in statements:
            self.client.execute(statement)


def begun(connection: Connection, client: psycopg.Connection[tuple[object, ...]]) -> Written:
    """Begin to read."""
    reader = wal.reader(connection)
    assert reader is not None
    # What is read later shall be the test's alone: no hint bits, no cleaning up.
    client.execute("VACUUM")
    return Written(reader, client, reader.flush().position)


@pytest.fixture
def written(server: Server) -> Iterator[Written]:
    """A database with some tables, read by a superuser."""
    with (
        new_database(server) as url,
        server.connect(url.database) as client,
        connections.connect(url, "test") as connection,
    ):
        client.execute(TABLES)
        yield begun(connection, client)


@pytest.mark.parametrize(("statement", "names"), [
    ("INSERT INTO plain VALUES (2, 'two')", {"plain"}),
    ("UPDATE plain SET name = 'other'", {"plain"}),
    ("DELETE FROM plain", {"plain"}),
    ("COPY plain FROM PROGRAM 'printf ''5\tfive\n6\tsix\n'''", {"plain"}),
    ("INSERT INTO other VALUES (1); INSERT INTO plain VALUES (2, 'two')", {"plain", "other"}),
    ("BEGIN; INSERT INTO other VALUES (1); ROLLBACK", set()),
    ("BEGIN; INSERT INTO other VALUES (1); SELECT nextval('numbers'); ROLLBACK", {"numbers"}),
    ("BEGIN; SAVEPOINT a; INSERT INTO other VALUES (1); ROLLBACK TO a; DELETE FROM plain; COMMIT", {"plain"}),
    ("BEGIN; SAVEPOINT a; INSERT INTO other VALUES (1); RELEASE a; COMMIT", {"other"}),
    ("SELECT nextval('numbers')", {"numbers"}),
    ("SELECT setval('numbers', 7)", {"numbers"}),
    ("INSERT INTO unlogged VALUES (1)", set()),
    ("SELECT pg_current_xact_id()", set()),
    ("SELECT count(*) FROM plain", set()),
    ("BEGIN; LOCK TABLE plain; ROLLBACK", set()),
    ("SELECT FROM plain FOR UPDATE", set()),
    ("COMMENT ON TABLE plain IS 'new'", {"pg_description"}),
])  # fmt: skip
def test_what_was_written(written: Written, statement: str, names: set[str]) -> None:
    """What rows were written in is named, catalogues too, but not indexes, what was read, and what was rolled back."""
    written.write(statement)
    assert written.names() == names
    assert written.names() == set()


def test_a_schema_that_is_changed(written: Written) -> None:
    """A new table is rows of catalogues."""
    written.write("CREATE TABLE new (id int PRIMARY KEY)")
    assert {"pg_class", "pg_attribute", "pg_index", "pg_type"} <= written.names()


def test_a_truncated_table(written: Written) -> None:
    """A truncated table has another file: pg_class tells, and what was in the old file has no name."""
    written.write("INSERT INTO other VALUES (1); TRUNCATE other")
    assert {None, "pg_class"} <= written.names()


def test_large_values(written: Written) -> None:
    """Values that are stored apart are named beside their table, and do not stand for it."""
    written.write("INSERT INTO large VALUES (repeat('x', 10000))")
    assert "large" in written.names()


def test_cleaning_up_is_no_change(written: Written) -> None:
    """What removes dead rows, freezes living ones, or notes who can see them, changes nothing."""
    written.write("INSERT INTO other SELECT generate_series(1, 1000)", "DELETE FROM other WHERE id % 2 = 0")
    assert written.names() == {"other"}
    written.write("SELECT count(*) FROM other", "VACUUM other", "VACUUM FREEZE other")
    assert "other" not in written.names()


def test_our_own_writes(written: Written) -> None:
    """Transactions of our own are left out, and those of others are not."""
    (xid,) = written.client.execute(
        "WITH w AS (INSERT INTO plain VALUES (2, 'two') RETURNING id) SELECT pg_current_xact_id()::text::bigint FROM w"
    ).fetchone() or (0,)
    written.write("INSERT INTO other VALUES (1)")
    assert written.names((int(str(xid)),)) == {"other"}


def test_who_wrote(written: Written) -> None:
    """When asked for, each transaction and each part of one is told apart; otherwise all are one."""
    statement = "INSERT INTO plain VALUES (%s, '') RETURNING xmin::text::bigint"
    xids = set()
    with written.client.transaction():
        for number in (2, 3):
            with written.client.transaction():
                xids.add((written.client.execute(statement, [number]).fetchone() or (0,))[0])
    start = written.position
    # A process that an earlier test killed may be writing its last words.
    assert {xid for _, xid in written.writes(writers=True)} >= xids
    assert len(xids) == 2
    written.position = start
    assert {xid for _, xid in written.writes()} == {0}


def test_other_databases(written: Written, server: Server) -> None:
    """What is written in another database has no name here, whatever its numbers."""
    with new_database(server) as url, server.connect(url.database) as client:
        client.execute(TABLES)
        written.writes()
        client.execute("INSERT INTO plain VALUES (2, 'two'); SELECT nextval('numbers')")
        assert written.names() == set()


def test_an_uncommitted_write_that_lies_in_buffers(written: Written) -> None:
    """Flushing makes readable what another session wrote without waiting for the disk, committed or not."""
    written.write("SET synchronous_commit = off", "INSERT INTO other VALUES (1)", "BEGIN; DELETE FROM plain")
    assert written.names() == {"plain", "other"}


def test_flushing_says_what_it_took(written: Written, server: Server) -> None:
    """Flushing takes a transaction id where there is no other way, and then says which."""
    query = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    for _ in range(5):
        (before,) = written.client.execute(query).fetchone() or (0,)
        flushed = written.reader.flush()
        (after,) = written.client.execute(query).fetchone() or (0,)
        assert len(flushed.own) == (server.major < 17)
        if after == int(str(before)) + len(flushed.own):  # somebody else, such as autovacuum, may take one in between
            assert flushed.own == tuple(range(int(str(before)), int(str(after))))
            assert flushed.following == int(str(after)) % 2**32
            return
    pytest.fail("more ids were taken than flushing says")


def test_nothing_to_read(written: Written) -> None:
    """Between a position and itself nothing was written."""
    assert written.reader.written(written.position, written.position, (), writers=False) == set()


@pytest.mark.parametrize("position", ["0/1", "FFFFFFFF/0"])
def test_a_position_that_cannot_be_read(written: Written, position: str) -> None:
    """A stretch whose beginning is gone, or lies in the future, is an error of the database."""
    written.write("INSERT INTO other VALUES (1)")
    with pytest.raises(psycopg.DatabaseError):
        written.reader.written(position, written.reader.flush().position, (), writers=False)


def reads(server: Server, url: URL, role: URL) -> bool:
    """Whether a role can read the WAL in a database."""
    where = role.set(database=url.database)
    with connections.connect(where, "test") as connection:
        found = wal.reader(connection)
        if found is None:
            return False
        start = found.flush().position
        with server.connect(url.database) as client:
            client.execute("CREATE TABLE proof (id int); DROP TABLE proof")
        return bool(found.written(start, found.flush().position, (), writers=True))


def test_roles_that_may_read(server: Server) -> None:
    """A role reads where the database has the extension and the role was given its functions; no other way."""
    with (
        new_role(server, "") as role,
        new_database(server, role.username) as url,
        server.connect(url.database) as client,
    ):
        assert reads(server, url, server.url)
        assert not reads(server, url, role)
        client.execute("CREATE SCHEMA tools; CREATE EXTENSION pg_walinspect SCHEMA tools")
        assert not reads(server, url, role)
        client.execute(sql.SQL("GRANT pg_read_server_files TO {}").format(sql.Identifier(str(role.username))))
        assert not reads(server, url, role)
        client.execute("GRANT USAGE ON SCHEMA tools TO PUBLIC")
        assert reads(server, url, role)
        assert reads(server, url, server.url)


def test_reading_leaves_no_trace(server: Server) -> None:
    """What a reader declares goes with its connection, and no extension is installed."""
    query = "SELECT (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_extension)"
    with new_database(server) as url:
        before = server.ask(query, url.database)
        with connections.connect(url, "test") as connection:
            assert wal.reader(connection) is not None
            pid = connection.info.backend_pid
        gone = f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"
        while server.ask(gone) != "0":  # the server ends a session a moment after its client
            continue
        assert server.ask(query, url.database) == before


@pytest.mark.parametrize(("start", "until", "bytes_"), [
    ("0/1C12000", "0/1C12000", 0), ("0/1C12000", "0/1C12100", 256), ("0/FFFFFFFF", "1/0", 1),
    ("1/10", "A/10", 9 * 2**32), ("0/20", "0/10", -16),
])  # fmt: skip
def test_distances(start: str, until: str, bytes_: int) -> None:
    """Positions are two hexadecimal halves; a distance counts bytes."""
    assert wal.distance(start, until) == bytes_


def test_each_position_is_the_end_of_a_record(written: Written, server: Server) -> None:
    """While others write as fast as they can, no position lies within a record, which nobody would read."""
    stop = threading.Event()

    def write() -> None:
        with server.connect(written.client.info.dbname) as client:
            while not stop.is_set():
                client.execute("INSERT INTO plain SELECT n, repeat('x', n % 700) FROM generate_series(1, 300) n "
                               "ON CONFLICT (id) DO UPDATE SET name = excluded.name || 'y'")  # fmt: skip

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            positions = [written.reader.flush().position for _ in range(3000)]
        finally:
            stop.set()
        writing.result()
    with server.connect(written.client.info.dbname) as client:
        client.execute("CREATE EXTENSION pg_walinspect")
        ends = "SELECT DISTINCT end_lsn::text FROM pg_get_wal_records_info(%s, %s)"
        assert set(positions) - {row[0] for row in client.execute(ends, [written.position, positions[-1]])} == set()
