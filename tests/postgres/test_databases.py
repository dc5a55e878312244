"""Databases as wholes, seen by a second client."""

from __future__ import annotations

import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from pytest_pristine.postgres import connections, databases, marks
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.servers.cluster import Login
from tests.conftest import binaries, new_cluster, new_database, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_pristine.postgres.connections import Connection
    from tests.conftest import Server

MARK = Mark(marks.CLONE, run="0123abcd", project="app")


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    """The product's own connection to the maintenance database."""
    with connections.connect(server.url, "test") as opened:
        yield opened


@pytest.fixture
def name(server: Server) -> Iterator[str]:
    """The name of a database that is not there, and that is gone after the test."""
    chosen = f"db {secrets.token_hex(4)} \"é'"
    yield chosen
    with server.connect() as opened:
        identifier = sql.Identifier(chosen)
        if opened.execute("SELECT FROM pg_database WHERE datname = %s", [chosen]).fetchone() is not None:
            opened.execute(sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false").format(identifier))
            opened.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def exists(server: Server, name: str) -> bool:
    """Whether a second client sees the database."""
    with server.connect() as opened:
        return opened.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


@contextmanager
def unmarked(server: Server) -> Iterator[str]:
    """A database that is somebody else's."""
    with new_database(server) as url:
        yield str(url.database)


def test_create_marks(server: Server, connection: Connection, name: str) -> None:
    """A database that we make is there, whatever its name needs of quoting, and carries its mark."""
    databases.create(connection, name, MARK)
    assert exists(server, name)
    found = databases.find(connection, name)
    assert found is not None
    assert (found.name, found.mark, found.sealed, found.sessions) == (name, MARK, False, 0)


LOCALES = [
    "ENCODING UTF8 LC_COLLATE 'C' LC_CTYPE 'C.UTF-8'",
    "ENCODING UTF8 LC_COLLATE 'POSIX' LC_CTYPE 'POSIX'",
    "ENCODING SQL_ASCII LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'",
    "ENCODING LATIN1 LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'",
    "ENCODING UTF8 LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C'",
]
# All columns of the catalogue that say how a database sorts, whatever they are called in a version.
LOCALE = """
    SELECT jsonb_object_agg(key, value) FROM pg_database d, jsonb_each_text(to_jsonb(d))
    WHERE d.datname = %s AND key IN ('encoding', 'datcollate', 'datctype', 'datlocprovider', 'daticulocale',
                                     'datlocale', 'daticurules')
"""


@pytest.mark.parametrize("options", LOCALES)
def test_create_takes_over_locale(server: Server, connection: Connection, name: str, options: str) -> None:
    """A database made like another sorts and encodes like it: a test sees what production does."""
    source = f"like_{secrets.token_hex(4)}"
    with server.connect() as opened:
        opened.execute(f"CREATE DATABASE {source} TEMPLATE template0 {options}")
        try:
            databases.create(connection, name, MARK, like=source)
            wanted = opened.execute(LOCALE, [source]).fetchone()
            assert opened.execute(LOCALE, [name]).fetchone() == wanted
        finally:
            opened.execute(f"DROP DATABASE {source}")


def test_create_copies_its_template(server: Server, connection: Connection, name: str) -> None:
    """A clone holds what its template holds."""
    with new_database(server) as url:
        server.ask("CREATE TABLE t AS SELECT 7 AS n", url.database)
        databases.create(connection, name, MARK, template=str(url.database))
        with server.connect(name) as opened:
            assert opened.execute("SELECT n FROM t").fetchone() == (7,)


_CREATES = """
import sys
from sqlalchemy.engine import make_url
from pytest_pristine.postgres import connections, databases, marks
url, name, template = sys.argv[1:]
with connections.connect(make_url(url), "dies") as connection:
    databases.create(connection, name, marks.Mark(marks.CLONE, run="0123abcd", project="app"), template=template)
"""


def test_create_of_a_run_that_is_killed(server: Server, connection: Connection, name: str) -> None:
    """A database that the server makes for a run that was killed meanwhile carries its mark all the same."""
    there = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pristine: dies'"
    waits = f"{there} AND wait_event_type = 'Lock'"
    url = server.url.render_as_string(hide_password=False)
    with unmarked(server) as template:
        with server.connect() as other, other.transaction():
            # Whoever copies the database waits for this transaction.
            other.execute(sql.SQL("COMMENT ON DATABASE {} IS NULL").format(sql.Identifier(template)))
            creating = subprocess.Popen([sys.executable, "-c", _CREATES, url, name, template])
            wait_until(lambda: server.ask(waits) == "1", "it waits")
            creating.kill()
            creating.wait()
        wait_until(lambda: server.ask(there) == "0", "its session has ended")
    assert exists(server, name)
    found = databases.find(connection, name)
    assert found is not None
    assert found.mark == MARK


def test_create_on_a_server_that_is_killed() -> None:
    """A database carries its mark also when the server is killed right after it was made."""
    with new_cluster() as (cluster, server):
        assert server.ask("SHOW synchronous_commit") == "off"
        postmaster = cluster.postmaster()
        assert postmaster is not None
        with connections.connect(server.url, "test") as connection:
            databases.create(connection, "made", MARK)
            postmaster.kill()
        cluster.halt()
        cluster.start(binaries(), Login(str(server.url.username), str(server.url.password)), server.url.port)
        assert exists(server, "made")
        with connections.connect(server.url, "test") as connection:
            assert databases.find(connection, "made") is not None


def test_ours_lists_what_is_marked(server: Server, connection: Connection, name: str) -> None:
    """Only marked databases are listed, the oldest first, with the sessions in them."""
    databases.create(connection, name, MARK)
    databases.create(connection, second := f"second_{secrets.token_hex(4)}", MARK)
    try:
        with unmarked(server) as foreign, server.connect(name), server.connect(name):
            listed = {found.name: found.sessions for found in databases.ours(connection)}
            assert foreign not in listed
            assert (listed[name], listed[second]) == (2, 0)
            assert list(listed).index(name) < list(listed).index(second)
    finally:
        databases.drop(connection, second)


def test_seal_locks_the_door(server: Server, connection: Connection, name: str) -> None:
    """Nobody, not even a superuser, connects to a sealed template; it can be cloned, and dropped by us."""
    databases.create(connection, name, MARK)
    databases.seal(connection, name)
    found = databases.find(connection, name)
    assert found is not None
    assert found.sealed
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        server.connect(name)
    databases.create(connection, copy := f"copy_{secrets.token_hex(4)}", MARK, template=name)
    databases.drop(connection, copy)
    databases.drop(connection, name)
    assert not exists(server, name)


@pytest.mark.parametrize("comment", [None, "production", "Pytest-Pristine: {}"])
def test_drop_refuses_what_is_not_ours(server: Server, connection: Connection, comment: str | None) -> None:
    """A database without our mark is not dropped, and the sessions in it go on."""
    with unmarked(server) as foreign, server.connect(foreign) as inside:
        if comment is not None:
            statement = sql.SQL("COMMENT ON DATABASE {} IS {}")
            inside.execute(statement.format(sql.Identifier(foreign), sql.Literal(comment)))
        inside.execute("CREATE TABLE precious AS SELECT 1 AS n")
        with pytest.raises(LookupError, match=foreign):
            databases.drop(connection, foreign)
        assert inside.execute("SELECT n FROM precious").fetchone() == (1,)


def test_drop_refuses_what_is_not_there(connection: Connection) -> None:
    """To drop a database that is gone is an error that can be told from others."""
    with pytest.raises(LookupError, match="no database 'nowhere' of ours"):
        databases.drop(connection, "nowhere")


def test_drop_ends_the_sessions(server: Server, connection: Connection, name: str) -> None:
    """A session that a crashed test left in a database of ours does not keep it alive."""
    databases.create(connection, name, MARK)
    with server.connect(name) as inside:
        databases.drop(connection, name)
        assert not exists(server, name)
        with pytest.raises(psycopg.OperationalError):
            inside.execute("SELECT 1")


def test_rename(server: Server, connection: Connection, name: str) -> None:
    """A renamed database keeps its mark."""
    databases.create(connection, old := f"old_{secrets.token_hex(4)}", MARK)
    databases.rename(connection, old, name)
    assert not exists(server, old)
    found = databases.find(connection, name)
    assert found is not None
    assert found.mark == MARK


def _exchange(connection: Connection, target: str, new: str, aside: str) -> bool:
    target_mark, aside_mark = Mark(marks.TARGET, "run2", "app"), Mark(marks.SCRATCH, "run2", "app")
    return databases.exchange(connection, target, target_mark, new, aside, aside_mark)


def test_exchange(server: Server, connection: Connection, name: str) -> None:
    """The new database stands in the place of the old one, which is kept aside, and each has its new mark."""
    new, aside = f"new_{secrets.token_hex(4)}", f"aside_{secrets.token_hex(4)}"
    databases.create(connection, name, MARK)
    databases.create(connection, new, MARK)
    server.ask("CREATE TABLE fresh ()", new)
    assert _exchange(connection, name, new, aside)
    assert not exists(server, new)
    with server.connect(name) as opened:
        assert opened.execute("SELECT to_regclass('fresh')::text").fetchone() == ("fresh",)
    kinds = {found.name: (found.mark.kind, found.mark.run) for found in databases.ours(connection)}
    assert (kinds[name], kinds[aside]) == ((marks.TARGET, "run2"), (marks.SCRATCH, "run2"))
    databases.drop(connection, aside)


def test_exchange_is_all_or_nothing(server: Server) -> None:
    """While somebody is connected to either, nothing changes: no name, no mark, no session."""
    # Postgres itself waits five seconds for the others to go: both cases wait together.
    with ThreadPoolExecutor() as pool:
        for done in [pool.submit(_refused_exchange, server, occupied) for occupied in (0, 1)]:
            done.result()


def _refused_exchange(server: Server, occupied: int) -> None:
    names = [f"occupied_{secrets.token_hex(4)}" for _ in range(2)]
    with connections.connect(server.url, "test") as connection:
        for name in names:
            databases.create(connection, name, MARK)
        with server.connect(names[occupied]) as inside:
            assert not _exchange(connection, names[0], names[1], "aside")
            assert inside.execute("SELECT 1").fetchone() == (1,)
        listed = {found.name: found.mark for found in databases.ours(connection)}
        assert {name: listed.get(name) for name in (*names, "aside")} == {names[0]: MARK, names[1]: MARK, "aside": None}
        for name in names:
            databases.drop(connection, name)
