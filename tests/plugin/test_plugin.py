"""What a project sees of the plugin, when pytest is run in it."""

from __future__ import annotations

import re

import pytest
from sqlalchemy.engine import URL

from tests.conftest import CALLED, MAJOR, SOURCE, Home, Project, Server

# The order of the tests in a project is the one they are written in.
PLAIN = ("-p", "no:randomly")


def run(project: Project, *arguments: str, **environ: str) -> str:
    """Run pytest in order, and give its output after checking that it passed."""
    done = project.run(*PLAIN, *arguments, **environ)
    assert done.status == 0, done.output
    return done.output


def at(project: Project, url: URL) -> str:
    """The variable that names a database, for a project's run."""
    assert project.path.is_dir()
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def test_values_and_scopes_of_the_fixtures(project: Project) -> None:
    """The fixtures give what their documentation says, and all but clean_database are one for the session."""
    project.write("test_users.py", """
        import logging

        import pytest
        from sqlalchemy import URL, Engine, text

        from pytest_pristine import PostgresServer, Workspace

        MAJOR, SOURCE = {MAJOR}, "{SOURCE}"
        seen = []

        @pytest.fixture(scope="session")
        def everything(postgres_server, apply_migrations, postgres_url, postgres_engine):
            return postgres_server, apply_migrations, postgres_url, postgres_engine

        @pytest.mark.parametrize("again", [1, 2])
        def test_values(everything, again):
            server, database, url, engine = everything
            seen.append(everything)
            assert all(one is other for one, other in zip(seen[0], seen[-1]))
            assert isinstance(server, PostgresServer)
            assert server.version // 10000 == MAJOR
            assert server.source == SOURCE
            assert server.capabilities.superuser and server.capabilities.replica
            assert server.capabilities.major == MAJOR
            assert isinstance(database, Workspace)
            assert isinstance(url, URL) and url == database.url == engine.url
            assert isinstance(engine, Engine)
            with engine.connect() as connection:
                assert connection.execute(text("SELECT current_database()")).scalar_one() == url.database
                assert connection.execute(text("SELECT name FROM users")).scalar_one() == "root"

        def test_clean_database_gives_nothing(clean_database):
            assert clean_database is None

        def test_writes(postgres_engine, clean_database):
            with postgres_engine.begin() as connection:
                connection.execute(text("INSERT INTO users (name) VALUES ('ada'), ('bob'), ('eve')"))

        def test_finds_it_pristine(postgres_engine, clean_database):
            with postgres_engine.begin() as connection:
                assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 1
                new = text("INSERT INTO users (name) VALUES ('new') RETURNING id")
                assert connection.execute(new).scalar_one() == 2
    """.replace("{MAJOR}", str(MAJOR)).replace("{SOURCE}", SOURCE))  # fmt: skip
    output = run(project, "-v")
    assert output.count("PASSED") == 5
    way = r"restores (read in the WAL|ask every table) what a test wrote: about .*"
    assert re.search(rf"\npristine: {re.escape(CALLED)}; {way}\n", output)


def test_an_early_test_does_not_spoil_the_baseline(project: Project) -> None:
    """What a test without clean_database committed is no part of the baseline, even if it was the first."""
    project.write("test_users.py", """
        from sqlalchemy import text

        def test_first(postgres_engine):
            with postgres_engine.begin() as connection:
                connection.execute(text("INSERT INTO users (name) VALUES ('stray')"))
                connection.execute(text("DELETE FROM users WHERE name = 'root'"))

        def test_second(postgres_engine, clean_database):
            with postgres_engine.connect() as connection:
                assert connection.execute(text("SELECT name FROM users")).scalars().all() == ["root"]
    """)  # fmt: skip
    run(project)


def test_restores_are_logged(project: Project) -> None:
    """Every restore says on the logger pytest_pristine what it put back."""
    project.write("test_users.py", """
        from sqlalchemy import text

        def test_writes(postgres_engine, clean_database):
            with postgres_engine.begin() as connection:
                connection.execute(text("CREATE TEMP TABLE t ()"))
                connection.execute(text("INSERT INTO orders VALUES (1), (2), (3)"))
                connection.execute(text("INSERT INTO people VALUES (1)"))
    """)  # fmt: skip
    project.write("migrations/versions/0002_orders.py", """
        from alembic import op

        revision, down_revision = "0002", "0001"

        def upgrade():
            op.execute("CREATE TABLE orders (id int)")
            op.execute("CREATE TABLE people (id int)")
    """)  # fmt: skip
    output = run(project, "-o", "log_cli=true", "--log-cli-level=INFO")
    assert re.search(r"INFO +pytest_pristine:\S+ put back orders 3 rows, people 1 row$", output, re.MULTILINE)


def test_a_run_that_needs_no_database(project_at: object, home: Home) -> None:
    """A run that uses no fixture of ours starts nothing and imports neither SQLAlchemy, Alembic nor psycopg."""
    project = project_at(home)  # type: ignore[operator]
    project.write("test_users.py", """
        import sys

        def test_imports():
            heavy = {"sqlalchemy", "alembic", "psycopg", "filelock"} & set(sys.modules)
            assert not heavy
    """)  # fmt: skip
    output = run(project, TEST_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing", PRISTINE_LINGER="not read")
    assert "pristine:" not in output
    assert list(home.path.iterdir()) == []


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--fixtures", "--fixtures-per-test"])
def test_runs_that_run_no_test(project_at: object, home: Home, option: str) -> None:
    """Asking pytest for its plans or its help starts nothing, even if tests need a server."""
    output = run(project_at(home), option)  # type: ignore[operator]
    assert list(home.path.iterdir()) == []
    if option == "--fixtures":
        for fixture, says in FIXTURES.items():
            assert re.search(rf"^{fixture}( \[session scope\])? -- .*\n {{4}}{re.escape(says)}", output, re.MULTILINE)
        assert output.count("[session scope] -- ") - 1 >= len(FIXTURES) - 2


FIXTURES = {
    "postgres_server": "The Postgres server of this run",
    "apply_migrations": "Bring this worker's database to head.",
    "postgres_url": "The URL of this worker's migrated database",
    "postgres_engine": "The one SQLAlchemy engine that all tests share.",
    "clean_database": "The database is pristine when the test starts, and pristine again after it.",
}


def test_runs_without_the_plugins_that_we_look_at(project: Project) -> None:
    """A run in which pytest's own setup-plan plugin is switched off works."""
    run(project, "-p", "no:setupplan", "-p", "no:logging")


def test_a_project_with_fixtures_of_the_same_names(project_at: object, home: Home) -> None:
    """A project's own postgres_server, postgres_engine and clean_database are its own: nothing of ours starts."""
    project = project_at(home)  # type: ignore[operator]
    project.write("conftest.py", """
        import pytest

        @pytest.fixture(scope="session")
        def postgres_server():
            return "theirs"

        @pytest.fixture(scope="module")
        def postgres_engine(postgres_server):
            return postgres_server + "!"

        @pytest.fixture
        def clean_database(postgres_engine):
            return postgres_engine + "!"
    """)  # fmt: skip
    project.write("test_users.py", """
        def test_theirs(postgres_server, postgres_engine, clean_database):
            assert clean_database == "theirs!!"
    """)  # fmt: skip
    assert "pristine:" not in run(project)
    assert list(home.path.iterdir()) == []


def test_extending_apply_migrations(project: Project) -> None:
    """Rows that a project's apply_migrations loads on top of ours are part of the baseline."""
    project.write("conftest.py", """
        import pytest
        from sqlalchemy import create_engine, text

        @pytest.fixture(scope="session")
        def apply_migrations(apply_migrations):
            engine = create_engine(apply_migrations.url)
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO users (name) VALUES ('loaded')"))
            engine.dispose()
            return apply_migrations
    """)  # fmt: skip
    project.write("test_users.py", """
        import pytest
        from sqlalchemy import text

        @pytest.mark.parametrize("again", [1, 2])
        def test_loaded(postgres_engine, clean_database, again):
            with postgres_engine.begin() as connection:
                names = connection.execute(text("SELECT name FROM users ORDER BY id")).scalars().all()
                assert names == ["root", "loaded"]
                connection.execute(text("DELETE FROM users"))
    """)  # fmt: skip
    run(project)


def test_replacing_apply_migrations(project: Project) -> None:
    """A project may migrate with an Alembic of its own, with variables that its env.py takes the URL from."""
    (project.path / "alembic.ini").rename(project.path / "other.ini")
    project.write("migrations/env.py", """
        import os

        from alembic import context
        from sqlalchemy import create_engine

        with create_engine(os.environ["SHOP_DATABASE"]).connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
    """)  # fmt: skip
    project.write("conftest.py", """
        from pathlib import Path

        import pytest

        from pytest_pristine import Alembic

        @pytest.fixture(scope="session")
        def apply_migrations(postgres_server):
            migrator = Alembic(config=Path(__file__).with_name("other.ini"), environment={"SHOP_DATABASE": "{url}"})
            with postgres_server.migrated_database(migrator) as database:
                yield database
    """)  # fmt: skip
    run(project)


def test_replacing_clean_database(project: Project) -> None:
    """A project's clean_database may build on ours, and its own steps come in the order that it says."""
    project.write("conftest.py", """
        import pytest
        from sqlalchemy import text

        @pytest.fixture
        def clean_database(clean_database, postgres_engine):
            with postgres_engine.begin() as connection:
                connection.execute(text("INSERT INTO users (name) VALUES ('for every test')"))
            yield "theirs"
    """)  # fmt: skip
    project.write("test_users.py", """
        import pytest
        from sqlalchemy import text

        @pytest.mark.parametrize("again", [1, 2])
        def test_theirs(postgres_engine, clean_database, again):
            assert clean_database == "theirs"
            with postgres_engine.connect() as connection:
                names = connection.execute(text("SELECT name FROM users ORDER BY id")).scalars().all()
                assert names == ["root", "for every test"]
    """)  # fmt: skip
    run(project)


def test_a_database_that_is_named(project: Project, database: URL, server: Server) -> None:
    """Tests run in the TEST_DATABASE_URL, which holds the schema afterwards; no output has its password."""
    project.write("test_more.py", """
        def test_fails(postgres_server, postgres_url, postgres_engine, clean_database):
            secret = postgres_url.password
            assert postgres_server.source == "url"
            assert False, "on purpose"
    """)  # fmt: skip
    done = project.run(*PLAIN, "-vv", "--showlocals", "--tb=long", TEST_DATABASE_URL=at(project, database),
                       PYTEST_ADDOPTS="--deselect=nothing")  # fmt: skip
    assert done.status == 1
    assert "1 failed, 1 passed" in done.output
    assert f"database {database.database})" in done.output
    assert server.ask("SELECT name FROM users", database.database) == "root"
    shown = [line for line in done.output.splitlines() if str(database.password) in line]
    # The test's own variable is its own doing.
    assert [line for line in shown if not line.startswith("secret ")] == []


def test_xdist(project: Project) -> None:
    """Workers of pytest-xdist have databases of their own, made from one template."""
    project.write("test_users.py", """
        import pytest
        from sqlalchemy import text

        @pytest.mark.parametrize("number", range(8))
        def test_alone(postgres_engine, clean_database, number):
            with postgres_engine.begin() as connection:
                assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 1
                connection.execute(text("INSERT INTO users (name) VALUES ('mine')"))
                connection.execute(text("SELECT pg_sleep(0.02)"))

        def test_migrated_once(apply_migrations, worker_id):
            assert worker_id in apply_migrations.url.database
    """)  # fmt: skip
    project.write("migrations/versions/0002_count.py", """
        revision, down_revision = "0002", "0001"

        def upgrade():
            with open("migrated.log", "a") as log:
                log.write("once\\n")
    """)  # fmt: skip
    done = project.run("-p", "xdist", "-n", "2")
    assert done.status == 0, done.output
    assert "9 passed" in done.output
    assert (project.path / "migrated.log").read_text() == "once\n"


def test_warm_runs_do_not_migrate_unless_told_to(project: Project) -> None:
    """The second run uses the first one's template; --pristine-create-db migrates from nothing."""
    project.write("migrations/versions/0002_count.py", """
        revision, down_revision = "0002", "0001"

        def upgrade():
            with open("migrated.log", "a") as log:
                log.write("again\\n")
    """)  # fmt: skip
    log = project.path / "migrated.log"
    for arguments, times in (((), 1), ((), 1), (("--pristine-create-db",), 2)):
        run(project, *arguments)
        assert log.read_text().count("again") == times
