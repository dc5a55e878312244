"""A worker's database is made anew: what a test did to it is gone, and it is where it was."""

from __future__ import annotations

import logging
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pytest_pristine.errors import NotOursError, PrivilegeError, RestoreError, UnreachableError
from pytest_pristine.postgres import connections, locks, spares
from pytest_pristine.postgres.anchor import Anchor
from pytest_pristine.templates import copies, in_place
from tests.conftest import EXTENSION, SUPERUSER, Server, new_database, new_role, new_server
from tests.templates.conftest import Schema, Templates, entered, until

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

DDL = """
    CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE);
    INSERT INTO users (name) VALUES ('root');
    CREATE VIEW names AS SELECT name FROM users;
    COMMENT ON SCHEMA public IS 'of the application'
"""
DAMAGE = f"""
    DROP VIEW names; ALTER TABLE users ADD COLUMN age int; INSERT INTO users (name) VALUES ('ada');
    CREATE SCHEMA remains; CREATE TABLE remains.over (); SELECT lo_from_bytea(0, 'x'); CREATE EXTENSION {EXTENSION};
    GRANT ALL ON SCHEMA public TO PUBLIC; COMMENT ON SCHEMA public IS 'of a test';
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC
"""
WORK = """
    ALTER DATABASE {0} SET work_mem = '9MB';
    ALTER ROLE CURRENT_USER IN DATABASE {0} SET lock_timeout = '3s';
    GRANT CREATE ON DATABASE {0} TO PUBLIC
"""


def damage(server: Server, name: str) -> None:
    """Do to a database what no restore undoes."""
    server.ask(DAMAGE, name)
    for statement in WORK.format(name).strip().split(";\n"):
        server.ask(statement)


def oid(server: Server, name: object) -> str:
    """The oid of a database."""
    return server.ask(f"SELECT oid FROM pg_database WHERE datname = '{name}'")


@pytest.fixture
def all_templates(server: Server) -> Iterator[Templates]:
    """The templates of a project of its own on every server; all of it is dropped afterwards."""
    made = Templates(server, f"p{secrets.token_hex(4)}")
    yield made
    made.drop()


def test_a_clone_is_made_anew(all_templates: Templates) -> None:
    """Schema, rows, sequences, settings and grants are those of the start, at the same URL; nothing else is left."""
    server = all_templates.server
    with all_templates.lease(Schema(DDL)) as workspace:
        name = str(workspace.url.database)
        fresh, first = server.dump(name), oid(server, name)
        for _ in range(2):
            damage(server, name)
            assert server.dump(name) != fresh
            workspace.rebuild()
            assert server.dump(name) == fresh
            assert oid(server, name) != first
        assert all_templates.all() == [workspace.template, name]
        assert all_templates.names("clone") == [name]
    assert all_templates.all() == [workspace.template]


def test_the_target_is_made_anew(all_templates: Templates) -> None:
    """The database that the user named has the owner, settings and grants of the session's start, not a test's."""
    server = all_templates.server
    with new_role(server, "") as owner, new_database(server, owner.username) as url:
        name = str(url.database)
        for statement in (
            "ALTER DATABASE {0} SET work_mem = '7MB'",
            "ALTER DATABASE {0} SET search_path = app, public",
            "GRANT CREATE ON DATABASE {0} TO {1}",
            "ALTER ROLE {1} IN DATABASE {0} SET work_mem = '6MB'",
        ):
            server.ask(statement.format(name, owner.username))
        with all_templates.lease(Schema(DDL), name) as workspace:
            assert workspace.url.database == name
            fresh = server.dump(name)
            damage(server, name)
            server.ask(f"ALTER DATABASE {name} OWNER TO {SUPERUSER}")
            assert server.dump(name) != fresh
            workspace.rebuild()
            assert server.dump(name) == fresh
            assert all_templates.names("target") == [name]
        assert server.dump(name) == fresh
        assert all_templates.all() == [workspace.template, name]
        server.ask(f"ALTER DATABASE {name} OWNER TO {SUPERUSER}")


def test_a_plain_role_makes_its_target_anew(all_templates: Templates) -> None:
    """A role with CREATEDB that owns the target needs nothing more."""
    server = all_templates.server
    with new_role(server, "CREATEDB") as role, new_database(server, role.username) as url:
        name = str(url.database)
        server.ask(f"ALTER DATABASE {name} SET work_mem = '7MB'")
        with all_templates.lease(Schema(DDL), name, url=role) as workspace:
            fresh = server.dump(name)
            for statement in ("SET work_mem = '9MB'", "SET lock_timeout = '3s'"):
                server.ask(f"ALTER DATABASE {name} {statement}")
            server.ask("DROP TABLE users CASCADE", name)
            workspace.rebuild()
            assert server.dump(name) == fresh
            assert "work_mem" in fresh
        all_templates.drop()


def test_a_target_beside(templates: Templates, database: URL) -> None:
    """Where somebody is in the target, it is the clone beside it that is made anew, with the target's settings."""
    server, name = templates.server, str(database.database)
    server.ask(f"ALTER DATABASE {name} SET work_mem = '7MB'")
    with server.connect(name) as client, templates.lease(Schema(DDL), name) as workspace:
        fresh = server.dump(str(workspace.url.database))
        assert "work_mem" in fresh
        damage(server, str(workspace.url.database))
        workspace.rebuild()
        assert server.dump(str(workspace.url.database)) == fresh
        assert client.execute("SELECT to_regclass('users')").fetchone() == (None,)


def test_sessions_are_ended(templates: Templates) -> None:
    """Whoever is connected, idle in a transaction or in the middle of a statement, is disconnected; nobody waits."""
    server = templates.server
    with templates.lease(Schema(DDL)) as workspace, server.connect(str(workspace.url.database)) as idle:
        name = str(workspace.url.database)
        idle.execute("BEGIN; LOCK TABLE users")
        busy = threading.Thread(target=sleep_in, args=(server, name))
        busy.start()
        until(lambda: server.ask(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'") == "2")
        start = time.monotonic()
        workspace.rebuild()
        assert time.monotonic() - start < 2
        busy.join(5)
        assert not busy.is_alive()
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")


def sleep_in(server: Server, name: str) -> None:
    """Be in the middle of a statement until somebody ends it."""
    with pytest.raises(psycopg.OperationalError), server.connect(name) as busy:
        busy.execute("SELECT pg_sleep(60)")


def test_a_client_that_connects_again_and_again(templates: Templates) -> None:
    """An application that reconnects as soon as it is disconnected does not keep its database from being made anew."""
    server, ended = templates.server, threading.Event()
    with templates.lease(Schema(DDL)) as workspace:
        name = str(workspace.url.database)
        clients = [threading.Thread(target=keep_connecting, args=(server, name, ended)) for _ in range(8)]
        try:
            for client in clients:
                client.start()
            first = oid(server, name)
            workspace.rebuild()
            assert oid(server, name) != first
        finally:
            ended.set()
            for client in clients:
                client.join()


def keep_connecting(server: Server, name: str, ended: threading.Event) -> None:
    """Be connected, whatever happens."""
    while not ended.is_set():
        try:
            with server.connect(name) as client:
                while not ended.wait(0.01):
                    client.execute("SELECT 1")
        except psycopg.OperationalError:
            continue


def test_a_client_that_cannot_be_kept_out(templates: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is in the database all the same is named in the error; the database is as it was, and open."""
    server = templates.server
    with templates.lease(Schema(DDL)) as workspace, server.connect(str(workspace.url.database)) as client:
        name = str(workspace.url.database)
        monkeypatch.setattr(copies, "_vacate", lambda *_: None)
        client.execute("SET application_name TO 'poller'")
        first = oid(server, name)
        with pytest.raises(RestoreError, match="sessions that are in it again") as caught:
            workspace.rebuild()
        assert f"pid {client.info.backend_pid} of the role '{SUPERUSER}' (poller)" in caught.value.found
        assert oid(server, name) == first
        assert server.ask("SELECT name FROM users", name) == "root"
        assert templates.names("scratch") == []


def test_a_session_that_we_may_not_end(templates: Templates, server: Server) -> None:
    """A superuser's session in the database is named with process id and role, and nothing is left half made."""
    with new_role(server, "CREATEDB") as role:
        with templates.lease(Schema(DDL), url=role) as workspace:
            name = str(workspace.url.database)
            with server.connect(name) as superuser:
                with pytest.raises(PrivilegeError) as caught:
                    workspace.rebuild()
                assert caught.value.sought == f"to end the sessions in the database '{name}', which is made anew"
                assert caught.value.found == (
                    f"the role '{role.username}' may not end pid {superuser.info.backend_pid} of the role "
                    f"'{SUPERUSER}' (no application name)"
                )
                assert superuser.execute("SELECT name FROM users").fetchone() == ("root",)
            assert templates.names("scratch") == []
            workspace.rebuild()
        templates.drop()


def test_a_spare_is_used(templates: Templates, server: Server) -> None:
    """Where a spare of the template is there, it becomes the new database."""
    with templates.lease(Schema(DDL)) as workspace:
        with connections.connect(server.url, "test") as connection:
            spares.prepare(connection)
        (spare,) = templates.names("spare")
        number = oid(server, spare)
        workspace.rebuild()
        assert oid(server, workspace.url.database) == number
        assert templates.names("spare") == []


def test_a_mark_that_is_gone(templates: Templates, server: Server) -> None:
    """The database that this run made is its own whatever a test wrote into its COMMENT, and is marked again."""
    with templates.lease(Schema(DDL)) as workspace:
        name = str(workspace.url.database)
        fresh = server.dump(name)
        for _ in range(2):
            server.ask(f"COMMENT ON DATABASE {name} IS 'production'")
            workspace.rebuild()
            assert server.dump(name) == fresh
        assert templates.names("clone") == [name]


def test_another_database_of_the_name(templates: Templates, server: Server) -> None:
    """A database that took the name of the run's own and has no mark is left alone: sessions and rows stay."""
    with templates.lease(Schema(DDL)) as workspace:
        name = str(workspace.url.database)
        server.ask(f"DROP DATABASE {name}")
        server.ask(f"CREATE DATABASE {name}")
        with server.connect(name) as client:
            client.execute("CREATE TABLE kept ()")
            with pytest.raises(NotOursError, match="another database of that name, without a mark of ours"):
                workspace.rebuild()
            assert client.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        assert templates.names("scratch") == []
        server.ask(f"DROP DATABASE {name}")


def test_a_database_that_a_test_has_dropped(templates: Templates, server: Server) -> None:
    """A database that is gone is made anew too, with its mark."""
    with templates.lease(Schema(DDL)) as workspace:
        name = str(workspace.url.database)
        fresh = server.dump(name)
        server.ask(f"DROP DATABASE {name}")
        workspace.rebuild()
        assert server.dump(name) == fresh
        assert templates.names("clone") == [name]


def test_a_template_that_another_run_has_dropped(templates: Templates, server: Server) -> None:
    """Without the template there is nothing to copy: the error says which it was, and the database is as it was."""
    with templates.lease(Schema(DDL)) as workspace:
        server.ask(f"ALTER DATABASE {workspace.template} IS_TEMPLATE false")
        server.ask(f"DROP DATABASE {workspace.template}")
        with pytest.raises(RestoreError) as caught:
            workspace.rebuild()
        assert caught.value.sought == f"the template '{workspace.template}', to make the worker's database anew"
        assert caught.value.found.startswith("it is gone: another run has dropped it")
        assert server.ask("SELECT name FROM users", workspace.url.database) == "root"


def test_a_template_that_another_session_has_built_anew(templates: Templates, server: Server) -> None:
    """Made anew by another session from the same migrations, the template serves as before."""
    with templates.lease(Schema(DDL)) as workspace:
        fresh = server.dump(str(workspace.url.database))
        with templates.lease(Schema(DDL), rebuild=True) as other:
            assert other.template == workspace.template
        damage(server, str(workspace.url.database))
        workspace.rebuild()
        assert server.dump(str(workspace.url.database)) == fresh


def test_the_template_cannot_be_dropped_meanwhile(templates: Templates, server: Server) -> None:
    """While somebody builds or drops templates of this fingerprint, the rebuild waits."""
    with templates.lease(Schema(DDL)) as workspace:
        mark = server.ask(
            "SELECT substr(shobj_description(oid, 'pg_database'), 18)::json ->> 'fingerprint' FROM pg_database "
            f"WHERE datname = '{workspace.template}'"
        )
        rebuild = threading.Thread(target=workspace.rebuild)
        first = oid(server, workspace.url.database)
        with connections.connect(server.url, "test") as other, locks.held(other, locks.build(mark)):
            rebuild.start()
            rebuild.join(0.5)
            assert rebuild.is_alive()
            assert oid(server, workspace.url.database) == first
        rebuild.join(10)
        assert oid(server, workspace.url.database) not in ("", first)


def backend(server: Server, name: str) -> str:
    """The process id of the connection of the run that works in a database."""
    run = name.split("_")[-2]
    return server.ask(f"SELECT pid FROM pg_stat_activity WHERE application_name = 'pristine: run {run}'")


def test_a_connection_that_was_ended(templates: Templates, server: Server) -> None:
    """When somebody ended the run's own connection, it is made anew, and the run holds its locks again."""
    with templates.lease(Schema(DDL)) as workspace:
        name = str(workspace.url.database)
        first = backend(server, name)
        server.ask(f"SELECT pg_terminate_backend({first})")
        damage(server, name)
        workspace.rebuild()
        assert server.ask("SELECT name FROM names", name) == "root"
        assert backend(server, name) not in ("", first)
        with templates.lease(Schema(DDL)):
            pass
        assert templates.names("clone") == [name]
    assert templates.names("clone") == []


def test_another_run_took_over(templates: Templates, database: URL) -> None:
    """A run that lost its connection, and then the target to another run, does not touch that run's database."""
    server, name = templates.server, str(database.database)
    with templates.lease(Schema(DDL), name) as workspace:
        server.ask(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'pristine: run %'"
        )
        with templates.lease(Schema(DDL), name) as other:
            assert other.url.database == name
            server.ask("CREATE TABLE precious ()", name)
            with pytest.raises(NotOursError, match="another run has taken it over") as caught:
                workspace.rebuild()
            assert caught.value.sought == f"to make the database '{name}' anew from its template"
            assert server.ask("SELECT to_regclass('precious')", name) == "precious"


def test_an_anchor_without_a_server(server: Server) -> None:
    """When the server is gone for good, the error is that of any connection that cannot be had."""
    with new_role(server, "CREATEDB") as role:
        anchor = Anchor(role, "test")
        server.ask(f"ALTER ROLE {role.username} NOLOGIN")
        server.ask(f"SELECT pg_terminate_backend({anchor.connection.info.backend_pid})")
        for _ in range(2):
            with pytest.raises(UnreachableError, match="is not permitted to log in"):
                anchor.alive()
        server.ask(f"ALTER ROLE {role.username} LOGIN")
        assert anchor.alive().execute("SELECT 1").fetchone() == (1,)
        anchor.close()


def test_what_the_server_refuses(templates: Templates, server: Server) -> None:
    """What Postgres says is passed on as an error of ours."""
    with new_role(server, "CREATEDB") as role:
        with templates.lease(Schema(DDL), url=role) as workspace:
            server.ask(f"ALTER ROLE {role.username} NOCREATEDB")
            with pytest.raises(RestoreError, match="permission denied to create database") as caught:
                workspace.rebuild()
            assert caught.value.sought == f"to make the database '{workspace.url.database}' anew from its template"
        templates.drop()


def test_an_old_database_that_cannot_be_dropped(templates: Templates, caplog: pytest.LogCaptureFixture) -> None:
    """What keeps the old database alive, a superuser's subscription say, does not keep the new one from its place."""
    server = templates.server
    with new_role(server, "CREATEDB") as role:
        with templates.lease(Schema(DDL), url=role) as workspace, caplog.at_level(logging.WARNING, "pytest_pristine"):
            name = str(workspace.url.database)
            server.ask("CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)", name)
            workspace.rebuild()
            (aside,) = templates.names("scratch")
            assert f"{aside} is tried again at the end of the run: it cannot be dropped" in caplog.text
            server.ask("ALTER SUBSCRIPTION s SET (slot_name = NONE); DROP SUBSCRIPTION s", aside)
        assert templates.names("scratch") == []
        templates.drop()


@pytest.mark.parametrize("target", [False, True], ids=["clone", "target"])
@pytest.mark.parametrize("place", ["make", "_vacate", "drop"])
def test_a_run_that_is_killed(
    templates: Templates,
    database: URL,
    tmp_path: Path,
    place: str,
    target: bool,  # noqa: FBT001
) -> None:
    """Killed in the middle of a rebuild, a run leaves its database under its name and nothing that is not ours."""
    server, name = templates.server, str(database.database) if target else None
    work = (
        "import os; from pytest_pristine.templates import copies; "
        f"copies.{place} = lambda *_: os.kill(os.getpid(), 9); workspace.rebuild()"
    )
    unmarked = "SELECT datname FROM pg_database WHERE shobj_description(oid, 'pg_database') IS NULL"
    before = set(server.ask(unmarked).split())
    process = templates.start(DDL, work, tmp_path / "log", name)
    found = entered(process)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert server.ask("SELECT name FROM users", found) == "root"
    assert set(server.ask(unmarked).split()) == before - {found}
    until(lambda: not server.ask("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'pristine: run %'"))
    with templates.lease(Schema(DDL), name):
        pass
    assert templates.names("scratch") == templates.names("clone") == []


@pytest.fixture(scope="module")
def preparing() -> Iterator[Server]:
    """A server on which transactions can be prepared."""
    with new_server("max_prepared_transactions = 8\n") as server:
        yield server


def test_prepared_transactions(preparing: Server) -> None:
    """A transaction that a test prepared and left is rolled back; it would keep the database from being dropped."""
    templates = Templates(preparing, f"p{secrets.token_hex(4)}")
    with templates.lease(Schema(DDL)) as workspace:
        name = str(workspace.url.database)
        preparing.ask("CREATE DATABASE elsewhere")
        for database in (name, "elsewhere"):
            preparing.ask(f"BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'it''s of {database}'", database)
        first = oid(preparing, name)
        workspace.rebuild()
        assert oid(preparing, name) != first
        assert preparing.ask("SELECT gid FROM pg_prepared_xacts") == "it's of elsewhere"
        preparing.ask("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'left at the end'", name)
    assert templates.names("clone") == []
    preparing.ask("ROLLBACK PREPARED 'it''s of elsewhere'", "elsewhere")
    preparing.ask("DROP DATABASE elsewhere")


def test_a_prepared_transaction_of_another_role(preparing: Server) -> None:
    """One that another role prepared is named, with the statement that role has to execute."""
    templates = Templates(preparing, f"p{secrets.token_hex(4)}")
    with new_role(preparing, "CREATEDB") as role:
        with templates.lease(Schema(DDL), url=role) as workspace:
            name = str(workspace.url.database)
            preparing.ask("BEGIN; CREATE TABLE t (); PREPARE TRANSACTION 'theirs'", name)
            with pytest.raises(PrivilegeError) as caught:
                workspace.rebuild()
            assert caught.value.found == f"it belongs to the role '{SUPERUSER}', and ours is '{role.username}'"
            (remedy,) = caught.value.remedy
            assert remedy == f"as that role or a superuser, connected to {name}: ROLLBACK PREPARED 'theirs'"
            preparing.ask("ROLLBACK PREPARED 'theirs'", name)
        templates.drop()


def test_prepared_transactions_in_place(preparing: Server) -> None:
    """In place too a prepared transaction is rolled back, which would hold its locks for ever."""
    with new_role(preparing, "") as role, new_database(preparing, role.username) as url:
        name = str(url.database)
        with in_place.lease(role, name, Schema(DDL), project="p", claimed=False) as workspace:
            with preparing.connect(name, role) as client:
                client.execute("BEGIN")
                client.execute("INSERT INTO users (name) VALUES ('ada')")
                client.execute("PREPARE TRANSACTION 'left'")
            workspace.rebuild()
            assert preparing.ask("SELECT count(*) FROM pg_prepared_xacts") == "0"
            assert preparing.ask("SELECT name FROM users", name) == "root"
