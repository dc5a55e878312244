"""A database that the user names: what is refused, what is taken, and that a password is never shown."""

from __future__ import annotations

import stat
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from sqlalchemy.engine import make_url

from pytest_pristine.errors import (
    AuthenticationError,
    NotAPostgresUrlError,
    NotOursError,
    PristineError,
    PrivilegeError,
    UnknownDatabaseError,
    UnreachableError,
    VersionError,
)
from pytest_pristine.postgres.capabilities import Capabilities
from pytest_pristine.servers import resolver
from pytest_pristine.servers.sources import Offer
from tests.conftest import CALLED, VERSION, finish, new_database, new_role, new_server
from tests.servers.conftest import text

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from tests.conftest import Home, Project, Server
    from tests.servers.conftest import Resolve, Use

SECRET = "Sesam-7"  # noqa: S105 - what must not be shown


def refused(resolve: Resolve, kind: type[PristineError], url: str | None = None, **places: Any) -> PristineError:  # noqa: ANN401 - as the fixture takes them
    """The error for a URL; a run shows it, and nothing but it, in `test_a_refusal_as_a_user_sees_it`."""
    with pytest.raises(kind) as caught:
        resolve(**places) if url is None else resolve(TEST_DATABASE_URL=url, **places)
    assert SECRET not in str(caught.value)
    return caught.value


def test_a_refusal_as_a_user_sees_it(project: Project, server: Server, database: URL, free_port: int) -> None:
    """A server that cannot be used ends the run: exit code 4, the message alone, nothing passed or skipped."""
    run = project.run("-l", "--tb=long", TEST_DATABASE_URL=text(database.set(port=free_port)))
    assert run.status == pytest.ExitCode.USAGE_ERROR
    said = run.message()
    assert f'found: connection failed: connection to server at "127.0.0.1", port {free_port} failed' in said
    assert "(from TEST_DATABASE_URL)" in said
    assert f"to do: start a server there: pristine up --port {free_port} --user tester" in said
    assert "to do: or remove TEST_DATABASE_URL: a server is then found or started" in said
    for word in ("passed", "skipped", "Traceback", "INTERNALERROR", str(database.password)):
        assert word not in run.output


@pytest.mark.parametrize("place", ["option", "environment"])
def test_an_explicit_url_must_answer(resolve: Resolve, home: Home, free_port: int, place: str) -> None:
    """A URL that was named for this run and does not answer is an error; no other server is started."""
    url = f"postgresql://u:{SECRET}@127.0.0.1:{free_port}/app_test"
    if place == "option":
        error, origin = refused(resolve, UnreachableError, option={"url": url}), "--pristine-url"
    else:
        error, origin = refused(resolve, UnreachableError, url), "TEST_DATABASE_URL"
    assert error.sought == f"the Postgres at postgresql://u:***@127.0.0.1:{free_port}/app_test (from {origin})"
    assert error.remedy[1] == f"or remove {origin}: a server is then found or started"
    assert not home.processes()


def test_an_option_hides_the_environment(resolve: Resolve, database: URL, free_port: int) -> None:
    """The URL on the command line is used, whatever the environment says."""
    found = resolve(option={"url": text(database)}, TEST_DATABASE_URL=f"postgresql://h:{free_port}/x")
    assert str(found) == f"PostgreSQL {VERSION} (--pristine-url, database {database.database})"
    assert (found.source, found.target) == ("url", database.database)


def test_a_configured_default_is_passed_over(project: Project, free_port: int) -> None:
    """A project's URL that does not answer is passed over, and the header says so."""
    project.write("pytest.ini", f"[pytest]\npristine_url = postgresql://u:{SECRET}@127.0.0.1:{free_port}/app\n")
    run = project.run()
    assert run.status == 0, run.output
    assert (
        f"passed over url: nothing answers at postgresql://u:***@127.0.0.1:{free_port}/app "
        "(pristine_url in the ini file)"
    ) in run.message()
    assert f"pristine: {CALLED}" in run.output
    assert SECRET not in run.output


def test_a_configured_default_that_answers_is_used(resolve: Resolve, database: URL) -> None:
    """A project's URL is used when it answers, and nothing was passed over."""
    found = resolve(ini={"pristine_url": text(database)})
    assert str(found) == f"PostgreSQL {VERSION} (pristine_url in the ini file, database {database.database})"
    assert found.passed_over == ()


def test_a_configured_default_that_rejects_us_is_not_passed_over(resolve: Resolve, database: URL) -> None:
    """A configured server that answers and rejects the password is an error: the project means that one."""
    url = text(database.set(password=SECRET))
    assert "pristine_url in the ini file" in str(refused(resolve, AuthenticationError, ini={"pristine_url": url}))


def test_asking_for_the_source_makes_the_default_binding(resolve: Resolve, free_port: int) -> None:
    """Who asks for the source `url` gets no other, even if it is only configured."""
    url = f"postgresql://u:{SECRET}@127.0.0.1:{free_port}/app_test"
    refused(resolve, UnreachableError, option={"server": "url"}, ini={"pristine_url": url})


def test_wrong_password(resolve: Resolve, database: URL) -> None:
    """A wrong password is told as such, and not shown."""
    error = refused(resolve, AuthenticationError, text(database.set(password=SECRET)))
    assert "a server that rejects the user 'tester' or the password" in error.found
    assert error.remedy == ("correct the user and the password in TEST_DATABASE_URL",)


def test_unknown_database(resolve: Resolve, database: URL) -> None:
    """A database that is not there is told as such, with the names of those that are."""
    error = refused(resolve, UnknownDatabaseError, text(database.set(database="nowhere")))
    assert "no database 'nowhere' on it (it has: " in error.found
    assert str(database.database) in error.found
    assert str(database.password) not in str(error)


@pytest.mark.parametrize("url", ["sqlite:///test.db", f"mysql://u:{SECRET}@h/db", SECRET, f"postgresql://u:{SECRET}@h"])
def test_not_a_postgres_url(resolve: Resolve, home: Home, url: str) -> None:
    """What is no Postgres URL is an error; nothing falls back to anything."""
    assert "TEST_DATABASE_URL" in refused(resolve, NotAPostgresUrlError, url).sought
    assert not home.processes()


@pytest.mark.parametrize("change", ["?no_such_parameter=1", "?sslmode=perhaps", "?connect_timeout=soon"])
def test_a_url_that_libpq_does_not_take(resolve: Resolve, server: Server, change: str) -> None:
    """A URL with something that libpq refuses is an error of ours, which a run shows without a traceback."""
    error = refused(resolve, PristineError, text(server.url) + change)
    assert "TEST_DATABASE_URL" in error.sought
    assert str(server.url.password) not in str(error)


def test_a_password_in_the_query_is_not_shown(resolve: Resolve, free_port: int) -> None:
    """A password that is given as a parameter of the URL is shown no more than any other."""
    refused(resolve, UnreachableError, f"postgresql://127.0.0.1:{free_port}/x?user=u&password={SECRET}")


def test_what_is_not_ours_is_refused_untouched(project: Project, server: Server, database: URL) -> None:
    """A database with somebody's table in it ends the run, and pg_dump finds it as it was."""
    name = str(database.database)
    server.ask("CREATE TABLE precious AS SELECT 1 AS n; COMMENT ON TABLE precious IS 'ours'", name)
    server.ask(f"COMMENT ON DATABASE {name} IS 'production'", name)
    before = server.dump(name)
    run = project.run("--pristine-claim=another", TEST_DATABASE_URL=text(database))
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert f"sought: a database that may be emptied: '{name}' (TEST_DATABASE_URL)" in run.message()
    assert "found: table public.precious, and no mark of ours. Nothing was touched" in run.message()
    assert "to do: name an empty database in TEST_DATABASE_URL: one is made by createdb" in run.message()
    assert f"if everything in it may be destroyed: pytest --pristine-claim={name}" in run.message()
    assert server.dump(name) == before
    assert "precious" in before


@pytest.mark.parametrize("claim", [None, "", "another", "postgres"])
def test_only_a_claim_by_name_opens_it(resolve: Resolve, server: Server, database: URL, claim: str | None) -> None:
    """No claim, an empty one or one of another name gives up nothing."""
    name = str(database.database)
    server.ask("CREATE TABLE precious ()", name)
    before = server.dump(name)
    places = {} if claim is None else {"PRISTINE_CLAIM": claim}
    refused(resolve, NotOursError, text(database), **places)
    assert server.dump(name) == before


def test_claim(project: Project, resolve: Resolve, server: Server, database: URL) -> None:
    """A database whose contents the user gave up by name is taken, and is ours from then on."""
    name = str(database.database)
    server.ask("CREATE TABLE precious ()", name)
    run = project.run(f"--pristine-claim={name}", TEST_DATABASE_URL=text(database))
    assert run.status == 0, run.output
    assert server.ask("SELECT to_regclass('precious'), to_regclass('users')", name) == "|users"
    assert resolve(TEST_DATABASE_URL=text(database)).target == name


def test_an_empty_database_is_taken(project: Project, server: Server, database: URL) -> None:
    """An empty database that the user named is marked, migrated, and left as the migrations left it."""
    run = project.run(TEST_DATABASE_URL=text(database))
    assert run.status == 0, run.output
    assert f"pristine: PostgreSQL {VERSION} (TEST_DATABASE_URL, database {database.database})" in run.output
    query = f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{database.database}'"
    assert '"kind": "target"' in server.ask(query)
    assert server.ask("SELECT string_agg(name, ',') FROM users", database.database) == "root"


def test_somebody_is_connected(project: Project, server: Server, database: URL) -> None:
    """While somebody looks at the database that was named, the tests run beside it and leave it as it is."""
    with server.connect(database.database) as onlooker:
        run = project.run(TEST_DATABASE_URL=text(database))
        assert run.status == 0, run.output
        assert onlooker.execute("SELECT to_regclass('users')").fetchone() == (None,)


def test_the_maintenance_database_is_never_ours(project: Project, server: Server) -> None:
    """A URL of `postgres` names a server: its database is neither marked nor changed, with a claim neither."""
    before = server.dump("postgres")
    run = project.run("--pristine-claim=postgres", TEST_DATABASE_URL=text(server.url))
    assert run.status == 0, run.output
    assert f"pristine: PostgreSQL {VERSION} (TEST_DATABASE_URL)" in run.output
    assert server.dump("postgres") == before
    assert "pytest-pristine" not in before


def test_a_role_that_may_not_create_databases(resolve: Resolve, server: Server) -> None:
    """A role without CREATEDB works in the empty database that it names, which is marked."""
    with new_role(server, "") as role, new_database(server, owner=role.username) as owned:
        found = resolve(TEST_DATABASE_URL=text(role.set(database=owned.database)))
        assert (found.target, found.in_place) == (owned.database, True)
        assert str(found) == f"PostgreSQL {VERSION} (TEST_DATABASE_URL, database {owned.database}, in place)"
        query = f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{owned.database}'"
        assert '"kind": "target"' in server.ask(query)


def test_a_role_that_has_nowhere_to_work(resolve: Resolve, server: Server) -> None:
    """A role without CREATEDB that names no database of its own is told both ways to have one."""
    with new_role(server, "") as role:
        before = server.dump("postgres")
        error = refused(resolve, PrivilegeError, text(role), PRISTINE_CLAIM="postgres")
        assert error.found == (
            f"the role '{role.username}', which may not, and no database of its own to work in: "
            "'postgres' is one that every server has"
        )
        assert error.remedy == (
            f'as a superuser: ALTER ROLE "{role.username}" CREATEDB',
            f'or, as a superuser: CREATE DATABASE app_test OWNER "{role.username}"; and name it in TEST_DATABASE_URL',
        )
        assert str(role.password) not in str(error)
        assert server.dump("postgres") == before


def test_in_place_what_is_not_ours_is_refused(resolve: Resolve, server: Server) -> None:
    """A role without CREATEDB has to claim a database with something in it, like any other."""
    with new_role(server, "") as role, new_database(server, owner=role.username) as owned:
        name = str(owned.database)
        server.ask("CREATE TABLE precious ()", name)
        before = server.dump(name)
        error = refused(resolve, NotOursError, text(role.set(database=name)))
        assert error.found == "table public.precious, and no mark of ours. Nothing was touched"
        assert server.dump(name) == before


def test_in_place_in_a_database_of_another_owner(resolve: Resolve, server: Server, database: URL) -> None:
    """What is not the role's own cannot be marked: it has to be given to it, or claimed each time."""
    name = str(database.database)
    with new_role(server, "") as role:
        url = text(role.set(database=name))
        error = refused(resolve, PrivilegeError, url)
        assert error.sought == f"to mark the database '{name}' as ours"
        assert error.remedy == (
            f'ALTER DATABASE "{name}" OWNER TO "{role.username}"',
            f"or, each time: pytest --pristine-claim={name}",
        )
        assert resolve(TEST_DATABASE_URL=url, PRISTINE_CLAIM=name).in_place
        assert "pytest-pristine" not in server.dump(name)
        refused(resolve, PrivilegeError, url)


def test_a_role_that_may_create_databases(project: Project, server: Server) -> None:
    """A role with CREATEDB and no more is enough, and the database stays its own."""
    with new_role(server, "CREATEDB") as role, new_database(server, owner=role.username) as owned:
        run = project.run(TEST_DATABASE_URL=text(role.set(database=owned.database)))
        assert run.status == 0, run.output
        query = f"SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = '{owned.database}'"
        assert server.ask(query) == role.username


def test_a_database_of_another_owner(resolve: Resolve, server: Server, database: URL) -> None:
    """An empty database that the role does not own cannot be marked; the statement that mends it is given."""
    with new_role(server, "CREATEDB") as role:
        error = refused(resolve, PrivilegeError, text(role.set(database=database.database)))
        assert error.found == f"the role '{role.username}' does not own it"
        assert error.remedy == (f'ALTER DATABASE "{database.database}" OWNER TO "{role.username}"',)


def test_a_role_without_a_maintenance_database(resolve: Resolve) -> None:
    """A role that can connect to no database beside its own is told which it needs."""
    with new_server() as own, new_role(own, "CREATEDB") as role, new_database(own, role.username) as owned:
        own.ask("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; REVOKE CONNECT ON DATABASE template1 FROM PUBLIC")
        error = refused(resolve, PrivilegeError, text(role.set(database=owned.database)))
        assert error.remedy == (f'GRANT CONNECT ON DATABASE postgres TO "{role.username}"',)


def test_an_old_server_is_refused() -> None:
    """A server that lacks what we use is refused by its version; no such server is installed anywhere we test."""
    offer = Offer(make_url("postgresql://u@h/app"), "TEST_DATABASE_URL")
    old = Capabilities(130014, "13.14", "u", superuser=True, createdb=True, replica=True, wal=True)
    with pytest.raises(VersionError) as caught:
        resolver._check_version(old, offer)
    assert caught.value.sought == "PostgreSQL 14 or newer at postgresql://u@h/app (TEST_DATABASE_URL)"
    assert caught.value.found == "PostgreSQL 13.14"
    resolver._check_version(replace(old, version=140000), offer)


@pytest.mark.parametrize("broken", [False, True], ids=["passing", "failing"])
def test_the_password_is_nowhere(project: Project, server: Server, broken: bool) -> None:  # noqa: FBT001
    """Neither the output at its most talkative nor the command line of any process of the run shows the password."""
    with new_role(server, "CREATEDB SUPERUSER") as role, new_database(server) as owned:
        project.write(
            "migrations/versions/0002_slow.py",
            f"""
            from alembic import op

            revision, down_revision = "0002", "0001"

            def upgrade():
                op.execute("SELECT pg_sleep(0.5)")
                op.execute("SELECT 1 / {0 if broken else 1}")
            """,
        )
        url = role.set(database=owned.database)
        talkative = ("-vv", "-rA", "-s", "-l", "--tb=long", "--log-cli-level=DEBUG", "--setup-show")
        process = project.start(*talkative, TEST_DATABASE_URL=text(url), PYTHONFAULTHANDLER="1")
        lines = command_lines(process.pid)
        run = finish(process)
        assert (run.status == 0) is not broken, run.output
        assert any("pytest_pristine.migrations.upgrade" in line for line in lines)
        assert not [line for line in lines if str(role.password) in line]
        assert str(role.password) not in run.output


def command_lines(pid: int) -> set[str]:
    """The command lines of a process and all that it starts, watched until its migrations have ended."""
    seen: set[str] = set()
    run = psutil.Process(pid)
    while time.sleep(0.02) or (run.is_running() and run.status() != psutil.STATUS_ZOMBIE):
        migrating = any("migrations.upgrade" in line for line in seen)
        lines = set()
        for process in (run, *run.children(recursive=True)):
            try:
                lines.add(" ".join(process.cmdline()))
            except psutil.NoSuchProcess:
                continue
        seen |= lines
        if migrating and not any("migrations.upgrade" in line for line in lines):
            break
    return seen


def test_files_that_hold_passwords(shared_home: Home, use: Use) -> None:
    """The files with a server's password are for their owner alone, and its logs do not repeat it."""
    use(shared_home)
    directory = shared_home.server()
    password = (directory / "password").read_text()
    for name in ("password", "server.json"):
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    for name in ("keeper.log", "data/server.log"):
        assert password not in (directory / name).read_text()
