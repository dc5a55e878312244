"""A database that the user named becomes the migrated one, and is still theirs afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from pytest_pristine.templates.run import Run
from tests.conftest import Server, needs, new_database, new_role
from tests.templates.conftest import Schema, Templates, entered

DDL = "CREATE TABLE users (id int); INSERT INTO users VALUES (1)"
HOLD = "sys.stdin.readline()"


@pytest.fixture
def target(database: URL) -> str:
    """An empty database that the user named."""
    return str(database.database)


def test_the_target_is_the_migrated_database(templates: Templates, target: str) -> None:
    """The run works in the database of that name, which holds the migrated schema during and after it."""
    with templates.lease(Schema(DDL), target) as workspace:
        assert workspace.url.database == target
        assert templates.server.ask("SELECT id FROM users", target) == "1"
        templates.server.ask("INSERT INTO users VALUES (2)", target)
    assert templates.server.ask("SELECT id FROM users ORDER BY 1", target) == "1\n2"
    assert templates.names("clone") == templates.names("scratch") == []


def test_the_target_is_pristine_in_the_next_run(templates: Templates, target: str) -> None:
    """What an earlier run, or a person, left in it is gone, whatever it is."""
    with templates.lease(Schema(DDL), target):
        templates.server.ask(
            "INSERT INTO users VALUES (2); CREATE SCHEMA remains; CREATE TABLE remains.over ()", target
        )
    schema = Schema(DDL)
    with templates.lease(schema, target):
        assert templates.server.ask("SELECT id FROM users", target) == "1"
        assert templates.server.ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'remains'", target) == "0"
    assert schema.runs == 0


SETTINGS = """
    ALTER DATABASE {0} SET search_path = app, "odd ""name", public;
    ALTER DATABASE {0} SET work_mem = '7MB';
    ALTER DATABASE {0} SET timezone = 'Pacific/Auckland';
    ALTER DATABASE {0} SET app.note = 'it''s = "a" \\ note';
    ALTER ROLE {1} IN DATABASE {0} SET statement_timeout = '9min';
    GRANT CREATE, TEMPORARY ON DATABASE {0} TO {1} WITH GRANT OPTION;
    REVOKE CONNECT ON DATABASE {0} FROM PUBLIC
"""
PROPERTIES = """
    SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype,
           (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(datacl) a),
           (SELECT string_agg(setrole::regrole || ': ' || setconfig::text, ' ' ORDER BY setrole) FROM pg_db_role_setting
            WHERE setdatabase = d.oid)
    FROM pg_database d WHERE datname = '{}'
"""


def test_the_target_keeps_its_properties(templates: Templates, server: Server) -> None:
    """Owner, settings (also those for one role), grants and locale are as the user made them."""
    with new_role(server, "") as role, new_role(server, "") as owner, new_database(server, owner.username) as url:
        name = str(url.database)
        for statement in SETTINGS.format(name, role.username).strip().split(";\n"):
            server.ask(statement)
        before = server.ask(PROPERTIES.format(name))
        assert "work_mem=7MB" in before
        for _ in range(2):
            with templates.lease(Schema(DDL), name) as workspace:
                assert workspace.url.database == name
                assert server.ask(PROPERTIES.format(name)) == before
        assert server.ask(PROPERTIES.format(name)) == before
        server.ask(f"ALTER DATABASE {name} OWNER TO {server.url.username}")


def test_the_target_keeps_its_encoding(templates: Templates, server: Server) -> None:
    """A target of another encoding and locale than the server's gets a template of its own."""
    name = f"{templates.project}_latin"
    with server.connect() as client:
        client.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")  # type: ignore[call-overload]
    try:
        with templates.lease(Schema(DDL)) as other, templates.lease(Schema(DDL), name) as workspace:
            assert server.ask("SHOW server_encoding", name) == "LATIN1"
            assert workspace.template != other.template
    finally:
        with server.connect() as client:
            client.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]


def test_a_target_that_somebody_is_connected_to(templates: Templates, target: str) -> None:
    """With a client connected to it, the run works in a database beside it, and leaves the client and its own alone."""
    with templates.server.connect(target) as client:
        client.execute("CREATE TABLE mine ()")
        with templates.lease(Schema(DDL), target) as workspace:
            assert workspace.url.database != target
            assert str(workspace.url.database).startswith(target)
            assert templates.server.ask("SELECT id FROM users", workspace.url.database) == "1"
        assert client.execute("SELECT count(*) FROM mine").fetchone() == (0,)
    assert templates.names("clone") == []


def test_two_runs_on_one_target(templates: Templates, target: str, tmp_path: Path) -> None:
    """Of two runs at once one has the target and the other a database beside it; both are migrated."""
    processes = [templates.start(DDL, HOLD, tmp_path / "log", target) for _ in range(2)]
    names = [entered(process) for process in processes]
    assert names.count(target) == 1
    for name in names:
        assert templates.server.ask("SELECT id FROM users", name) == "1"
    for process in processes:
        process.communicate("\n")
    assert [process.returncode for process in processes] == [0, 0]
    assert templates.names("clone") == templates.names("scratch") == []
    assert templates.server.ask("SELECT id FROM users", target) == "1"


@pytest.fixture
def owner(server: Server) -> Iterator[URL]:
    """A role that may create databases and nothing more."""
    with new_role(server, "CREATEDB") as role:
        yield role


def test_a_plain_role_with_a_target_of_its_own(templates: Templates, server: Server, owner: URL) -> None:
    """A role that owns the target and may create databases needs nothing more."""
    with new_database(server, owner.username) as url:
        name = str(url.database)
        server.ask(f"ALTER DATABASE {name} SET work_mem = '7MB'")
        for _ in range(2):
            with templates.lease(Schema(DDL), name, url=owner) as workspace:
                assert workspace.url.database == name
                assert workspace.url.username == owner.username
                assert server.ask("SELECT id FROM users", name) == "1"
        assert "work_mem=7MB" in server.ask(PROPERTIES.format(name))
        assert server.ask(PROPERTIES.format(name)).startswith(f"{owner.username}|")


def test_roles_have_templates_of_their_own(templates: Templates, owner: URL) -> None:
    """What one role migrated, another role does not own: each builds its own template."""
    mine, theirs = Schema(DDL), Schema(DDL)
    with templates.lease(mine) as one, templates.lease(theirs, url=owner) as two:
        assert (mine.runs, theirs.runs) == (1, 1)
        assert one.template != two.template


def test_a_database_that_took_the_name_is_left_alone(templates: Templates, server: Server, target: str) -> None:
    """A database that somebody put in the place of the one we marked is not ours, and keeps its rows."""
    templates.claim(target)
    server.ask(f"DROP DATABASE {target}")
    server.ask(f"CREATE DATABASE {target}")
    server.ask("CREATE TABLE precious AS SELECT 1 AS id", target)
    url = server.url
    with Run(url, target, project=templates.project, session="s").lease(Schema(DDL), "main") as leased:
        assert leased.url.database != target
    assert server.ask("SELECT id FROM precious", target) == "1"


@needs("citext")
def test_extensions_of_the_target_are_kept(templates: Templates, server: Server, target: str) -> None:
    """An extension that somebody installed in the database we were given is there for the migrations, and after."""
    server.ask("CREATE EXTENSION citext", target)
    with templates.lease(Schema("CREATE TABLE people (name citext)"), target) as leased:
        assert leased.url.database == target
    assert server.ask("SELECT extname FROM pg_extension WHERE extname = 'citext'", target) == "citext"


@needs("citext")
def test_extensions_that_migrations_create_are_theirs(templates: Templates, server: Server, target: str) -> None:
    """What migrations created in the database that we were given stands in no later migration's way."""
    with templates.lease(Schema("CREATE EXTENSION citext; CREATE TABLE people (name citext)"), target):
        pass
    with templates.lease(Schema("CREATE EXTENSION citext; CREATE TABLE others (name citext)"), target) as leased:
        assert leased.url.database == target
    assert server.ask("SELECT extname FROM pg_extension WHERE extname = 'citext'", target) == "citext"


@needs("citext", "hstore")
def test_an_extension_installed_between_runs_is_given(templates: Templates, server: Server, target: str) -> None:
    """An extension that somebody installs beside those that migrations created is there for the next migration."""
    with templates.lease(Schema("CREATE EXTENSION citext"), target):
        pass
    server.ask("CREATE EXTENSION hstore", target)
    with templates.lease(Schema("CREATE EXTENSION citext; CREATE TABLE bags (content hstore)"), target) as leased:
        assert leased.url.database == target
