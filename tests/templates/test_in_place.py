"""A role that may make no databases works in the one that the user named."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from pytest_pristine.errors import (
    NotOursError,
    OccupiedError,
    PrivilegeError,
    RestoreBlockedError,
    RestoreError,
)
from pytest_pristine.postgres import connections, databases, emptying, marks
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.templates import in_place
from pytest_pristine.templates.run import Run
from pytest_pristine.templates.workspace import Workspace
from tests.conftest import (
    SUPERUSER,
    Home,
    Project,
    Server,
    finish,
    lay_out,
    needs,
    new_database,
    new_role,
    new_server,
)
from tests.servers.conftest import text
from tests.templates.conftest import Schema, until

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

DDL = """
    CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE);
    INSERT INTO users (name) VALUES ('root');
    CREATE SCHEMA app;
    CREATE TYPE app.mood AS ENUM ('ok');
    CREATE FUNCTION app.f(app.mood) RETURNS int LANGUAGE sql AS 'SELECT 1';
    ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC;
    COMMENT ON SCHEMA public IS 'of the application'
"""
# Every kind of object that a plain role can make, and some of what it can change.
EVERYTHING = """
    CREATE TABLE "odd ""name{0}" (n int PRIMARY KEY, t text);
    CREATE TABLE parted (n int) PARTITION BY RANGE (n); CREATE TABLE part PARTITION OF parted DEFAULT;
    CREATE TABLE child () INHERITS ("odd ""name{0}");
    CREATE VIEW v AS SELECT * FROM "odd ""name{0}"; CREATE MATERIALIZED VIEW m AS SELECT 1 AS n; CREATE SEQUENCE s;
    CREATE STATISTICS st (dependencies) ON n, t FROM "odd ""name{0}";
    CREATE TYPE pair AS (a int, b int); CREATE TYPE span AS RANGE (subtype = int); CREATE DOMAIN positive AS int;
    CREATE PROCEDURE p(pair) LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION first(anyelement, anyelement) RETURNS anyelement LANGUAGE sql AS 'SELECT $1';
    CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int);
    CREATE AGGREGATE middle (float8 ORDER BY int) (sfunc = int4pl, stype = int, initcond = '0');
    CREATE FUNCTION eq(pair, pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
    CREATE OPERATOR === (leftarg = pair, rightarg = pair, function = eq);
    CREATE FUNCTION to_pair(text) RETURNS pair LANGUAGE sql AS 'SELECT NULL::pair';
    CREATE CAST (text AS pair) WITH FUNCTION to_pair(text);
    CREATE COLLATION mine (locale = 'C');
    CREATE CONVERSION conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
    CREATE TEXT SEARCH DICTIONARY dict (TEMPLATE = simple);
    CREATE TEXT SEARCH CONFIGURATION conf (COPY = simple);
    CREATE PUBLICATION pub FOR TABLE "odd ""name{0}";
    CREATE SCHEMA "odd schema"; CREATE TABLE "odd schema".t (); CREATE SCHEMA empty;
    CREATE EXTENSION hstore SCHEMA "odd schema";
    SELECT lo_from_bytea(0, 'x');
    ALTER TABLE "odd ""name{0}" ENABLE ROW LEVEL SECURITY; CREATE POLICY pol ON "odd ""name{0}";
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;
    ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
    ALTER DEFAULT PRIVILEGES REVOKE USAGE ON TYPES FROM PUBLIC;
    ALTER DEFAULT PRIVILEGES REVOKE ALL ON SEQUENCES FROM CURRENT_USER;
    ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO pg_monitor WITH GRANT OPTION;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO PUBLIC
"""


@dataclass(frozen=True)
class Place:
    """A role without CREATEDB and its database.

    Attributes:
        server: The server.
        role: The URL of `postgres` for the role.
        name: The database.
    """

    server: Server
    role: URL
    name: str

    def lease(self, migrator: object, *, claimed: bool = False, **options: object) -> AbstractContextManager[Workspace]:
        """The workspace, as a run gets it."""
        where = options.pop("url", self.role)
        return in_place.lease(where, self.name, migrator, project="p", claimed=claimed)  # type: ignore[arg-type]

    def ask(self, query: str) -> str:
        """What the superuser's psql answers in the database."""
        return self.server.ask(query, self.name)

    def do(self, statements: str) -> None:
        """Execute statements as the role."""
        with self.server.connect(self.name, self.role) as client:
            client.execute(statements)  # type: ignore[call-overload]

    def dump(self) -> str:
        """The database as pg_dump writes it, without its mark."""
        return "\n".join(line for line in self.server.dump(self.name).splitlines() if "pytest-pristine" not in line)

    def mark(self) -> None:
        """Mark the database, as the resolver does."""
        with connections.connect(self.server.url, "mark") as connection:
            databases.set_mark(connection, self.name, Mark(marks.TARGET, "", ""))


@pytest.fixture
def place(server: Server) -> Iterator[Place]:
    """An empty database of a role that may do nothing more."""
    with new_role(server, "") as role, new_database(server, role.username) as url:
        yield Place(server, role, str(url.database))


def test_it_is_migrated_where_it_is(place: Place) -> None:
    """The workspace is the database itself: migrated, marked, without a template, and left so at the end."""
    number = place.ask("SELECT oid FROM pg_database WHERE datname = current_database()")
    with place.lease(Schema(DDL)) as workspace:
        assert (workspace.url, workspace.template) == (place.role.set(database=place.name), None)
        assert place.ask("SELECT name, pg_get_userbyid(relowner) FROM users, pg_class WHERE relname = 'users'") == (
            f"root|{place.role.username}"
        )
    assert place.ask("SELECT name FROM users") == "root"
    assert place.ask("SELECT oid FROM pg_database WHERE datname = current_database()") == number
    assert '"kind": "target"' in place.ask(
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
    )


@needs("hstore")  # a role that is no superuser may create it
def test_every_session_starts_anew(place: Place) -> None:
    """Whatever an earlier session left is gone, the migrations run again, and the result is the same."""
    schema = Schema(DDL)
    with place.lease(schema):
        fresh = place.dump()
        place.do(EVERYTHING.format(""))
    with place.lease(schema):
        assert place.dump() == fresh
    assert schema.runs == 2


@needs("hstore")  # a role that is no superuser may create it
def test_everything_that_a_role_can_make_is_dropped(place: Place) -> None:
    """An emptied database is what it was when it was made, whatever was in it."""
    with place.lease(Schema("SELECT 1")):
        empty = place.dump()
    place.do(EVERYTHING.format("{}%s"))
    assert place.dump() != empty
    with place.lease(Schema("SELECT 1")):
        assert place.dump() == empty
        assert place.ask("SELECT count(*) FROM pg_default_acl") == "0"


def test_the_schema_public(place: Place) -> None:
    """Dropped, or made by the role itself, the schema `public` is there for the next migrations and belongs to it."""
    place.mark()
    with place.lease(Schema("SELECT 1")):
        empty = place.dump()
    for statements in ("DROP SCHEMA public CASCADE", "DROP SCHEMA public CASCADE; CREATE SCHEMA public"):
        place.do(statements)
        with place.lease(Schema(DDL)):
            assert place.ask("SELECT name FROM public.users") == "root"
    place.do("DROP SCHEMA public CASCADE")
    with place.lease(Schema("SELECT 1")):
        assert place.dump() == empty


def test_the_schema_public_of_a_guest(place: Place) -> None:
    """Where the role does not own the database, it makes a schema `public` of its own, if it may make any."""
    place.server.ask(f"ALTER DATABASE {place.name} OWNER TO {SUPERUSER}")
    place.ask("DROP SCHEMA public")
    with (
        pytest.raises(PrivilegeError, match="permission denied for database") as caught,
        place.lease(Schema(DDL), claimed=True),
    ):
        pass
    assert caught.value.sought == f"to empty the database '{place.name}' as the role '{place.role.username}'"
    place.server.ask(f"GRANT CREATE ON DATABASE {place.name} TO {place.role.username}")
    for _ in range(2):
        with place.lease(Schema(DDL), claimed=True):
            assert place.ask("SELECT name FROM public.users") == "root"


@needs("hstore")  # a role that is no superuser may create it
def test_a_rebuild(place: Place) -> None:
    """Schema, rows, sequences, grants on `public`, database settings and grants are those of the session's start."""
    place.server.ask(f"ALTER DATABASE {place.name} SET work_mem = '7MB'")
    place.server.ask(f"GRANT CREATE ON DATABASE {place.name} TO PUBLIC")
    with place.lease(Schema(DDL)) as workspace:
        fresh = place.dump()
        for _ in range(2):
            place.do(EVERYTHING.format(""))
            place.do("INSERT INTO users (name) VALUES ('ada'); ALTER TABLE users ADD COLUMN age int")
            place.do("COMMENT ON SCHEMA public IS 'of a test'; GRANT CREATE ON SCHEMA public TO PUBLIC")
            place.do(f"ALTER DATABASE {place.name} SET work_mem = '9MB'")
            place.do(f"ALTER ROLE CURRENT_USER IN DATABASE {place.name} SET lock_timeout = '3s'")
            place.do(f"REVOKE ALL ON DATABASE {place.name} FROM PUBLIC")
            assert place.dump() != fresh
            workspace.rebuild()
            assert place.dump() == fresh
    assert "work_mem" in fresh


@needs("citext", "hstore")
def test_privileges_of_the_role_are_kept(place: Place) -> None:
    """What somebody granted to the role on the database and on `public` is not taken away."""
    role = place.role.username
    place.server.ask(f"ALTER DATABASE {place.name} OWNER TO {SUPERUSER}")
    place.server.ask(f"GRANT ALL ON DATABASE {place.name} TO {role}")
    place.ask(f"GRANT ALL ON SCHEMA public TO {role}; CREATE EXTENSION citext; CREATE SCHEMA ext AUTHORIZATION {role}")
    place.ask("CREATE EXTENSION hstore SCHEMA ext")
    before = place.dump()
    for _ in range(2):
        with place.lease(Schema("CREATE TABLE people (name citext, more ext.hstore)"), claimed=True) as workspace:
            workspace.rebuild()
    with place.lease(Schema("SELECT 1"), claimed=True):
        assert place.dump() == before
    assert "EXTENSION IF NOT EXISTS citext" in before
    assert "GRANT ALL ON SCHEMA public" in before


def test_what_belongs_to_a_group(place: Place) -> None:
    """What migrations gave to a role that ours is a member of is dropped as well."""
    with new_role(place.server, "") as group:
        place.server.ask(f"GRANT {group.username} TO {place.role.username}")
        place.ask(f"GRANT ALL ON SCHEMA public TO {group.username}")
        ddl = f"CREATE TABLE users (id int); ALTER TABLE users OWNER TO {group.username}; CREATE TABLE mine ()"
        for _ in range(2):
            with place.lease(Schema(ddl)) as workspace:
                workspace.rebuild()
                assert place.ask("SELECT count(*) FROM users") == "0"
        place.server.ask(f"DROP OWNED BY {group.username}", place.name)


@pytest.mark.parametrize("claimed", [False, True], ids=["marked", "claimed"])
def test_what_is_somebody_else_s_stays(place: Place, claimed: bool) -> None:  # noqa: FBT001
    """An object of another role's is not dropped; the error names it and its owner, and nothing is migrated."""
    if not claimed:
        place.mark()
    place.ask("CREATE TABLE precious AS SELECT 1 AS id; CREATE TABLE also ()")
    schema = Schema(DDL)
    with pytest.raises(PrivilegeError) as caught, place.lease(schema, claimed=claimed):
        pass
    assert caught.value.sought == f"to empty the database '{place.name}' as the role '{place.role.username}'"
    assert caught.value.found == (
        f"table public.also and 1 other object, which it may not drop: table public.also belongs to '{SUPERUSER}'"
    )
    assert caught.value.remedy == (
        "as a superuser, drop what is not this role's",
        f'or drop the database and make it anew: CREATE DATABASE "{place.name}" OWNER "{place.role.username}"',
    )
    assert place.ask("SELECT id FROM precious") == "1"
    assert schema.runs == 0


def test_what_is_neither_marked_nor_empty_nor_claimed(place: Place) -> None:
    """The connection that would empty the database looks at it itself, and refuses with the option that allows it."""
    place.do("CREATE TABLE precious AS SELECT 1 AS id")
    before = place.dump()
    with pytest.raises(NotOursError) as caught, place.lease(Schema(DDL)):
        pass
    assert caught.value.sought == f"a database that may be emptied: '{place.name}'"
    assert caught.value.found == "table public.precious, and no mark of ours. Nothing was touched"
    assert caught.value.remedy == (f"if everything in it may be destroyed: pytest --pristine-claim={place.name}",)
    assert place.dump() == before


def test_a_database_of_another_role(place: Place) -> None:
    """A database that another role's run marked is refused with how to have it, as is one that is merely empty."""
    place.mark()
    superuser = sql.Identifier(SUPERUSER).as_string(None)
    place.ask(f"ALTER DATABASE {place.name} OWNER TO {superuser}")
    schema = Schema(DDL)
    with pytest.raises(PrivilegeError) as caught, place.lease(schema):
        pass
    assert caught.value.sought == f"to mark the database '{place.name}' as ours, as the role '{place.role.username}'"
    assert caught.value.found == f"must be owner of database {place.name}"
    assert caught.value.remedy == (
        f'as a superuser: ALTER DATABASE "{place.name}" OWNER TO "{place.role.username}"',
        f"or, if everything in it may be destroyed: pytest --pristine-claim={place.name}",
    )
    assert schema.runs == 0


def test_a_mark_that_is_gone(place: Place) -> None:
    """A database in which this run works is its own whatever a test wrote into its COMMENT, and is marked again."""
    with place.lease(Schema(DDL)) as workspace:
        place.do(f"COMMENT ON DATABASE {place.name} IS 'production'; INSERT INTO users (name) VALUES ('stray')")
        workspace.rebuild()
        assert place.ask("SELECT name FROM users") == "root"
    with place.lease(Schema(DDL)):
        assert place.ask("SELECT name FROM users") == "root"


def test_a_comment_of_the_migrations(place: Place) -> None:
    """A migration that comments on the database does not take the mark away."""
    ddl = f"{DDL}; COMMENT ON DATABASE {place.name} IS 'the application'"
    for _ in range(2):
        with place.lease(Schema(ddl)) as workspace:
            workspace.rebuild()


def test_a_second_run(place: Place) -> None:
    """A second run in the same database is refused soon, told what to do, and does not disturb the first."""
    with place.lease(Schema(DDL)):
        start = time.monotonic()
        with pytest.raises(OccupiedError) as caught, place.lease(Schema(DDL)):
            pass
        assert time.monotonic() - start < 4
        role = place.role.username
        assert (
            caught.value.sought
            == f"the database '{place.name}' for this run alone: the role '{role}' may make no other"
        )
        assert re.fullmatch(r"another run of \S+, process \d+, since 20\S+, works in it", caught.value.found)
        assert caught.value.remedy == (
            "wait until the other run has ended",
            f'or, so that every worker has a database of its own, as a superuser: ALTER ROLE "{role}" CREATEDB',
        )
        assert place.ask("SELECT name FROM users") == "root"
    with place.lease(Schema(DDL)):
        pass


def test_a_run_beside_a_copy(place: Place) -> None:
    """A run of another role that put a copy in the place of the database is not disturbed by one in place."""
    place.mark()
    run = Run(place.server.url, place.name, project="p", session="s")
    with run.lease(Schema(DDL), "main") as workspace:
        assert workspace.url.database == place.name
        with pytest.raises(OccupiedError, match="works in it"), place.lease(Schema(DDL)):
            pass
        assert place.ask("SELECT name FROM users") == "root"


def test_sessions_of_the_role_are_ended(place: Place) -> None:
    """A session that a test left, or a run that was killed, holds up neither a rebuild nor the next session."""
    with place.lease(Schema(DDL)) as workspace:
        for rebuild in (workspace.rebuild, lambda: None):
            client = place.server.connect(place.name, place.role)
            client.execute("BEGIN; LOCK TABLE users")
            start = time.monotonic()
            rebuild()
            assert time.monotonic() - start < 2
            if rebuild == workspace.rebuild:
                with pytest.raises(psycopg.OperationalError):
                    client.execute("SELECT 1")
                client.close()
    with place.lease(Schema(DDL)):
        assert place.ask("SELECT name FROM users") == "root"
    client.close()


def test_a_session_that_we_may_not_end(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A superuser who looks on does no harm; one who holds a lock is named when the time is over, with its pid."""
    monkeypatch.setattr(emptying, "PATIENCE", 0.2)
    with place.lease(Schema(DDL)) as workspace, place.server.connect(place.name) as superuser:
        workspace.rebuild()
        superuser.execute("BEGIN; SELECT * FROM users")
        with pytest.raises(RestoreBlockedError) as caught:
            workspace.rebuild()
        assert caught.value.sought == f"to empty the database '{place.name}', for 0.2 s"
        assert f"pid {superuser.info.backend_pid} of the role '{SUPERUSER}'" in caught.value.found
        assert caught.value.remedy == ("end these sessions",)
        superuser.execute("ROLLBACK")
        workspace.rebuild()


def test_a_connection_that_was_ended(place: Place) -> None:
    """When somebody ended the connection that holds the run's lock, the rebuild holds it again."""
    with place.lease(Schema(DDL)) as workspace:
        place.server.ask(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{place.role.username}'"
        )
        workspace.rebuild()
        with pytest.raises(OccupiedError), place.lease(Schema(DDL)):
            pass


def test_another_run_took_over(place: Place) -> None:
    """A run that lost its lock to another one leaves the database alone."""
    with place.lease(Schema(DDL)) as workspace:
        place.server.ask(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{place.role.username}'"
        )
        with place.lease(Schema(DDL)):
            place.do("CREATE TABLE precious ()")
            with pytest.raises(RestoreError, match="another run holds it now"):
                workspace.rebuild()
            assert place.ask("SELECT to_regclass('precious')") == "precious"


def test_many_objects(place: Place) -> None:
    """More objects than fit into one transaction are dropped."""
    with place.lease(Schema("SELECT 1")):
        place.do(f"SET search_path = public; DO $$BEGIN FOR i IN 1..{3 * emptying._BATCH} LOOP "
                 "EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, t text)', i); END LOOP; END$$")  # fmt: skip
    with place.lease(Schema(DDL)):
        assert place.ask("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "1"


def test_failing_migrations(place: Place) -> None:
    """A database whose migrations failed half-way is ours still, and emptied by the next session."""
    with (
        pytest.raises(psycopg.errors.DivisionByZero),
        place.lease(Schema(DDL.replace("CREATE SCHEMA app", "SELECT 1/0"))),
    ):
        pass
    place.do("CREATE TABLE half ()")
    with place.lease(Schema(DDL)):
        assert place.ask("SELECT to_regclass('half'), to_regclass('users')") == "|users"


def test_what_the_server_refuses(place: Place) -> None:
    """What Postgres says during a rebuild is passed on as an error of ours."""
    schema = Schema(DDL)
    with place.lease(schema) as workspace:
        schema.ddl = "CREATE SCHEMA pg_mine"
        with pytest.raises(RestoreError, match='unacceptable schema name "pg_mine"') as caught:
            workspace.rebuild()
        assert caught.value.sought == f"to empty the database '{place.name}' and migrate it again"


@pytest.fixture
def run_as(place: Place, project: Project) -> Project:
    """A project whose runs are given the role's database."""
    return replace(project, environ={**project.environ, "TEST_DATABASE_URL": text(place.role.set(database=place.name))})


def test_a_run_of_pytest(place: Place, run_as: Project) -> None:
    """With TEST_DATABASE_URL alone a plain role can run tests, again and again; the header says how."""
    for _ in range(2):
        run = run_as.run()
        assert run.status == 0, run.output
        version = place.server.ask("SELECT split_part(current_setting('server_version'), ' ', 1)")
        assert f"pristine: PostgreSQL {version} (TEST_DATABASE_URL, database {place.name}, in place)" in run.output
        assert place.ask("SELECT name FROM users") == "root"
        place.do("CREATE TABLE remains (); INSERT INTO users (name) VALUES ('left')")


MARKED = "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE '%pg_sleep(99)%' AND pid <> {}"


@pytest.mark.parametrize("place_of_death", ["test", "migration"])
def test_a_run_of_pytest_that_is_killed(place: Place, run_as: Project, place_of_death: str) -> None:
    """Killed in the middle of a test or of a migration, a run does not get in the way of the next one."""
    sleep = "SELECT pg_sleep(99)"
    path = {"test": "test_users.py", "migration": "migrations/versions/0001_users.py"}[place_of_death]
    before = (run_as.path / path).read_text()
    if place_of_death == "test":
        run_as.write(path, before.replace("assert", f'connection.execute(text("{sleep}"))\n        assert'))
    else:
        run_as.write(path, f'{before}\n    op.execute("{sleep}")\n')
    process = run_as.start()
    until(lambda: place.ask(MARKED.format(place.name, "pg_backend_pid()")) == "1")
    process.send_signal(signal.SIGKILL)
    assert finish(process).status == -signal.SIGKILL
    run_as.write(path, before)
    run = run_as.run()
    assert run.status == 0, run.output
    assert place.ask("SELECT name FROM users") == "root"
    assert place.ask(MARKED.format(place.name, "pg_backend_pid()")) == "0"


def test_workers_of_pytest(place: Place, run_as: Project) -> None:
    """Several workers cannot share the database: the run ends before its first test, with what to do."""
    run_as.write("test_users.py", "def test_one(postgres_url): pass\ndef test_two(postgres_url): pass\n")
    run = run_as.run("-p", "xdist", "-n2")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "found: 2 workers" in run.message()
    assert "run one worker: without -n, or with -n 1" in run.message()
    assert run_as.run("-p", "xdist", "-n1").status == 0


def test_a_run_without_a_maintenance_database(tmp_path: Path, shared_home: Home) -> None:
    """A role that can connect to its own database alone needs no other, and a second run is refused all the same."""
    with new_server() as own, new_role(own, "") as role, new_database(own, role.username) as url:
        own.ask("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC; REVOKE CONNECT ON DATABASE template1 FROM PUBLIC")
        project = lay_out(tmp_path, shared_home)
        address = role.set(database=url.database)
        for _ in range(2):
            run = project.run(TEST_DATABASE_URL=text(address))
            assert run.status == 0, run.output
        place = Place(own, role, str(url.database))
        with place.lease(Schema(DDL), url=address) as workspace:
            workspace.rebuild()
            with pytest.raises(OccupiedError), place.lease(Schema(DDL), url=address):
                pass
