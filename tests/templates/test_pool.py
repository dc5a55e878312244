"""The pool of databases for single tests, on a server, without pytest."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import URL

from pytest_pristine.errors import RestoreError
from pytest_pristine.postgres import connections, names, properties
from pytest_pristine.postgres.properties import Properties
from pytest_pristine.templates.copies import Source
from pytest_pristine.templates.fresh import FreshDatabase
from pytest_pristine.templates.pool import AHEAD, BATCH, MOST_SPENT, Demand, Level, Pool
from pytest_pristine.templates.workspace import Workspace
from tests.conftest import MAJOR, Server, new_role
from tests.templates.conftest import Schema, Templates, until

DDL = "CREATE TABLE users (id serial PRIMARY KEY, name text); INSERT INTO users (name) VALUES ('root')"
# What a migration does to its own database, whatever that is called.
SETTINGS = """
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET timezone TO ''Asia/Tokyo''', current_database());
        EXECUTE format('ALTER DATABASE %I SET search_path TO users, public, "odd, name"', current_database());
        EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET work_mem TO ''7MB''', current_database());
        EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        EXECUTE format('GRANT CREATE ON DATABASE %I TO pg_monitor WITH GRANT OPTION', current_database());
        EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 17', current_database());
    END $$
"""


def engine(url: URL) -> Engine:
    """An engine as tests have it."""
    return create_engine(url.set(drivername="postgresql+psycopg"))


def source_of(workspace: Workspace) -> Source:
    """What a workspace is a copy of."""
    source = workspace.source()
    assert source is not None
    return source


@contextmanager
def pool_of(
    workspace: Workspace, demand: Demand | None = None, make: Callable[[URL], Engine] = engine
) -> Iterator[Pool]:
    """A pool of copies of what a workspace is a copy of."""
    with closing(Pool(source_of(workspace), workspace.url, make, demand=demand or Demand(), opened=1)) as pool:
        yield pool


def fresh_names(templates: Templates) -> list[str]:
    """The databases for single tests that are there."""
    return [name for name in templates.names("clone") if "_fresh_" in name]


def ask(fresh: FreshDatabase, query: str) -> object:
    """What a query gives, through the engine of the database."""
    with fresh.engine.begin() as connection:
        return connection.execute(text(query)).scalar_one()


def told(server: Server, name: str) -> str:
    """All that pg_dump tells of a database, but its name and its mark."""
    lines = server.dump(name).replace(name, "NAME").splitlines()
    return "\n".join(line for line in lines if not line.startswith("COMMENT ON DATABASE"))


@pytest.mark.parametrize("named", [False, True], ids=["new", "named"])
def test_a_fresh_database_is_what_the_workspace_is(templates: Templates, database: URL, named: bool) -> None:  # noqa: FBT001
    """pg_dump tells the same of it as of the worker's database: contents, owner, settings, grants and limit."""
    server, target = templates.server, str(database.database) if named else None
    if named:
        with new_role(server, "") as role, server.connect() as client:
            client.execute(f"ALTER DATABASE {target} SET lock_timeout = '9s'")  # type: ignore[call-overload]
            client.execute(f"ALTER DATABASE {target} CONNECTION LIMIT 23")  # type: ignore[call-overload]
            client.execute(f"GRANT CREATE ON DATABASE {target} TO {role.username}")  # type: ignore[call-overload]
            _compare(templates, target, "CONNECTION LIMIT = 23", "lock_timeout TO '9s'", f"TO {role.username}")
            client.execute(f"REVOKE ALL ON DATABASE {target} FROM {role.username}")  # type: ignore[call-overload]
    else:
        _compare(templates, None, "CONNECTION LIMIT = 17", "REVOKE CONNECT,TEMPORARY", "NAME TO pg_monitor")


def _compare(templates: Templates, target: str | None, *expected: str) -> None:
    with templates.lease(Schema(f"{DDL}; {SETTINGS}"), target) as workspace, pool_of(workspace) as pool:
        fresh = pool.take(source_of(workspace))
        found = told(templates.server, fresh.name)
        assert found == told(templates.server, str(workspace.url.database))
        for words in ("root", "'Asia/Tokyo'", "search_path TO 'users', 'public', 'odd, name'", "work_mem TO '7MB'",
                      *expected):  # fmt: skip
            assert words in found.replace('"users"', "'users'")
        # The connection that was made beforehand knows the settings, too.
        assert ask(fresh, "SHOW timezone") == "Asia/Tokyo"
        fresh.dispose()


def test_a_rebuilt_database_has_the_settings_of_migrations(templates: Templates) -> None:
    """A worker's database that is made anew has what migrations set for it, and so has the first."""
    with templates.lease(Schema(f"{DDL}; {SETTINGS}")) as workspace:
        before = told(templates.server, str(workspace.url.database))
        workspace.rebuild()
        assert told(templates.server, str(workspace.url.database)) == before
        assert "'Asia/Tokyo'" in before


@pytest.mark.parametrize(
    ("demand", "asked", "ahead"),
    [
        (Demand(0), 0, 0), (Demand(1), 0, 1), (Demand(1), 1, 0), (Demand(2), 0, 2), (Demand(100), 0, AHEAD),
        (Demand(100), 98, 2), (Demand(100), 100, 0), (Demand(100), 105, 0),
        (Demand(1, 8), 0, 1), (Demand(1, 8), 1, 0), (Demand(16, 8), 0, 2), (Demand(16, 8), 1, 1), (Demand(16, 8), 9, 1),
    ],
)  # fmt: skip
def test_how_many_are_made_ahead(demand: Demand, asked: int, ahead: int) -> None:
    """As many as the worker's share of the tests, then one as long as it may be given more; a few at most."""
    assert demand.ahead(asked) == ahead


@pytest.mark.parametrize(
    ("level", "step"),
    [
        (Level(0, 0, 0, 0), ""), (Level(1, 0, 0, 0), "make"), (Level(0, 1, 2, 0), "make"), (Level(0, 2, 2, 0), ""),
        (Level(0, 2, 2, BATCH - 1), ""), (Level(0, 2, 2, BATCH), "drop"), (Level(0, 1, 2, BATCH), "make"),
        (Level(1, 0, 0, BATCH), "make"), (Level(1, 0, 0, MOST_SPENT), "drop"),
    ],
)  # fmt: skip
def test_what_the_pool_does_next(level: Level, step: str) -> None:
    """Whoever waits comes first, and drops come last, in batches, as long as there are not far too many."""
    assert level.next() == step


def test_databases_are_there_before_they_are_asked_for(templates: Templates) -> None:
    """The pool makes what the run will ask for, and not one more."""
    with templates.lease(Schema(DDL)) as workspace, pool_of(workspace, Demand(2)) as pool:
        until(lambda: len(fresh_names(templates)) == 2)
        until(lambda: "pristine: fresh databases" not in [thread.name for thread in threading.enumerate()])
        made = set(fresh_names(templates))
        taken = [pool.take(source_of(workspace)) for _ in range(2)]
        assert {fresh.name for fresh in taken} == made
        assert [ask(fresh, "SELECT name FROM users") for fresh in taken] == ["root", "root"]
        # One that nobody foresaw.
        assert ask(pool.take(source_of(workspace)), "SELECT name FROM users") == "root"
        assert len(fresh_names(templates)) == 3


def test_what_is_given_back_is_dropped_in_batches_and_the_rest_in_the_end(templates: Templates) -> None:
    """A few wait to be dropped; then all of them are. The end of the run drops what is left."""
    with templates.lease(Schema(DDL)) as workspace:
        with pool_of(workspace) as pool:
            for _ in range(BATCH - 1):
                pool.give_back(pool.take(source_of(workspace)))
            assert len(fresh_names(templates)) == BATCH - 1
            pool.give_back(pool.take(source_of(workspace)))
            until(lambda: not fresh_names(templates))
            pool.give_back(pool.take(source_of(workspace)))
        assert len(fresh_names(templates)) == 1
    assert templates.names("clone") == []


def test_whatever_a_test_does_to_its_database_it_is_dropped(templates: Templates) -> None:
    """One whose COMMENT was overwritten, that subscribes, that was dropped, renamed or closed, goes."""
    server = templates.server

    def spoil(name: str, statement: str) -> None:
        with server.connect() as client:
            client.execute(statement.format(name))  # type: ignore[call-overload]

    with templates.lease(Schema(DDL)) as workspace, pool_of(workspace) as pool:
        for statement in ("COMMENT ON DATABASE {} IS 'mine'", "DROP DATABASE {} WITH (FORCE)",
                          "ALTER DATABASE {} ALLOW_CONNECTIONS false"):  # fmt: skip
            fresh = pool.take(source_of(workspace))
            spoil(fresh.name, statement)
            pool.give_back(fresh)
        fresh = pool.take(source_of(workspace))
        server.ask("CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)", fresh.name)
        pool.give_back(fresh)
        renamed = pool.take(source_of(workspace))
        renamed.engine.dispose()  # nobody is connected then
        spoil(renamed.name, "ALTER DATABASE {} RENAME TO " + f"{templates.project}_renamed")
        pool.give_back(renamed)
        for _ in range(BATCH):
            pool.give_back(pool.take(source_of(workspace)))
        until(lambda: len(fresh_names(templates)) < BATCH)
    query = f"SELECT count(*) FROM pg_database WHERE datname LIKE '%{templates.project}%' AND NOT datistemplate"
    assert server.ask(query) == "0"


def test_a_database_that_is_gone_is_not_given(templates: Templates) -> None:
    """What the server has lost of what was made beforehand is passed over."""
    with templates.lease(Schema(DDL)) as workspace, pool_of(workspace, Demand(1)) as pool:
        until(lambda: len(fresh_names(templates)) == 1)
        until(lambda: "pristine: fresh databases" not in [thread.name for thread in threading.enumerate()])
        templates.server.ask(f"DROP DATABASE {fresh_names(templates)[0]} WITH (FORCE)")
        assert ask(pool.take(source_of(workspace)), "SELECT name FROM users") == "root"


def test_sessions_that_were_ended_do_not_matter(templates: Templates) -> None:
    """After somebody has ended all our sessions, a database that was made beforehand is as good as before."""
    with templates.lease(Schema(DDL)) as workspace, pool_of(workspace, Demand(1)) as pool:
        until(lambda: len(fresh_names(templates)) == 1)
        until(lambda: "pristine: fresh databases" not in [thread.name for thread in threading.enumerate()])
        templates.server.ask(
            "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity"
            f" WHERE datname LIKE '%{templates.project}%' OR application_name LIKE 'pristine: fresh%'"
        )
        assert ask(pool.take(source_of(workspace)), "SELECT name FROM users") == "root"


def test_databases_are_copies_of_what_is_current(templates: Templates) -> None:
    """Another template gives other databases at once; those that are ready of the first are kept for it."""
    with (
        templates.lease(Schema(DDL)) as one,
        templates.lease(Schema(f"{DDL}; INSERT INTO users (name) VALUES ('ada')")) as other,
        pool_of(one, Demand(3)) as pool,
    ):
        until(lambda: len(fresh_names(templates)) == AHEAD)
        made = set(fresh_names(templates))
        layer = replace(source_of(one), template=source_of(other).template)
        assert ask(pool.take(layer), "SELECT count(*) FROM users") == 2
        first = pool.take(source_of(one))
        assert ask(first, "SELECT count(*) FROM users") == 1
        assert first.name in made


def test_a_template_that_is_gone(templates: Templates) -> None:
    """Whoever asks is told; once it is there again, the next gets a database."""
    with templates.lease(Schema(DDL)) as workspace, pool_of(workspace) as pool:
        source = source_of(workspace)
        gone = replace(source, template=replace(source.template, name=names.template("gone", "000000000000")))
        with pytest.raises(RestoreError) as caught:
            pool.take(gone)
        assert caught.value.sought == "the template 'pristine_gone_000000000000', to make a database of it for one test"
        assert ask(pool.take(source), "SELECT name FROM users") == "root"


def test_an_error_of_the_server_while_one_is_made(templates: Templates) -> None:
    """What the server says is told to whoever waits, and nothing is waited for in vain."""
    with templates.lease(Schema(DDL)) as workspace, pool_of(workspace) as pool:
        source = source_of(workspace)
        broken = replace(source, wanted=replace(_properties(source), owner="no such role"))
        with pytest.raises(RestoreError, match='role "no such role" does not exist'):
            pool.take(broken)


def _properties(source: Source) -> Properties:
    with connections.connect(source.maintenance, "read") as connection:
        return properties.read(connection, source.template.name)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no forks")
def test_a_fork_makes_its_own(templates: Templates) -> None:
    """A fork of the process is given none of those that wait for its parent, and drops its own at once."""
    with templates.lease(Schema(DDL)) as workspace, pool_of(workspace, Demand(2)) as pool:
        until(lambda: len(fresh_names(templates)) == 2)
        waiting = set(fresh_names(templates))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                fresh = pool.take(source_of(workspace))
                good = fresh.name not in waiting and ask(fresh, "SELECT name FROM users") == "root"
                pool.give_back(fresh)
                pool.close()
                status = 0 if good else 2
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert set(fresh_names(templates)) == waiting
        assert {pool.take(source_of(workspace)).name for _ in range(2)} == waiting


def test_a_run_that_was_killed(templates: Templates, tmp_path: Path) -> None:
    """What a killed run has made beforehand is dropped at the end of the next run."""
    work = """
    from sqlalchemy import create_engine
    from pytest_pristine.templates.pool import Demand, Pool
    source = workspace.source()
    pool = Pool(source, workspace.url, create_engine, demand=Demand(3), opened=1)
    taken = pool.take(source)
    print("taken", flush=True)
    sys.stdin.read()
"""
    process = templates.start(DDL, work, tmp_path / "log")
    assert process.stdout is not None
    process.stdout.readline()
    assert process.stdout.readline() == "taken\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert process.stdin is not None
    process.stdin.close()
    assert fresh_names(templates)
    begun = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE DATABASE%_fresh_%' AND state = 'active'"
    until(lambda: templates.server.ask(begun) == "0")
    with templates.lease(Schema(DDL)):
        pass
    assert fresh_names(templates) == []


def test_one_that_is_kept(templates: Templates) -> None:
    """A database is kept as its test left it, under a name of its own, as far as there is room."""
    with templates.lease(Schema(DDL)) as workspace, pool_of(workspace) as pool:
        fresh, second = pool.take(source_of(workspace)), pool.take(source_of(workspace))
        assert ask(fresh, "UPDATE users SET name = 'ada' RETURNING name") == "ada"
        name = pool.keep(fresh, "test_x.py::test_y", 1)
        pool.give_back(fresh)
        assert pool.keep(second, "test_x.py::test_z", 1) == ""
        pool.give_back(second)
    assert templates.names("kept") == [name]
    assert templates.server.ask("SELECT name FROM users", name) == "ada"
    assert templates.names("clone") == []


def test_what_writes_the_least_wal(templates: Templates) -> None:
    """To make one writes some kilobytes of WAL, which restores of other tests read."""
    with templates.lease(Schema(DDL)) as workspace, pool_of(workspace) as pool:
        with templates.server.connect() as client:
            before = client.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
            pool.take(source_of(workspace))
            after = client.execute("SELECT pg_current_wal_insert_lsn() - %s::pg_lsn", before).fetchone()
        assert after is not None
        assert after[0] < 1_000_000, f"PostgreSQL {MAJOR}"
