"""`fresh_database`: a database of one test alone, as pytest's user meets it."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable

import pytest
from sqlalchemy.engine import URL

from tests.conftest import Home, Project, Run, Server, finish, new_database, new_role, wait_until

_HEAD = """
    import os
    import threading
    from pathlib import Path
    from time import sleep

    import psycopg
    import pytest
    from sqlalchemy import create_engine, text

    def do(engine, *statements):
        with engine.begin() as connection:
            return [connection.execute(text(statement)) for statement in statements]

    def address(url):
        return url.set(drivername="postgresql").render_as_string(hide_password=False)

"""


def run(project: Project, tests: str, *arguments: str, **environ: str) -> Run:
    """Run some tests."""
    project.write("test_users.py", _HEAD + tests)
    return project.run("test_users.py", *arguments, **environ)


def text(url: URL) -> str:
    """A URL with its password."""
    return url.render_as_string(hide_password=False)


def left(server: Server) -> str:
    """Databases of single tests that are on a server."""
    return server.ask("SELECT datname FROM pg_database WHERE datname LIKE '%\\_fresh\\_%'")


_DDL = """
    names = set()

    @pytest.mark.parametrize("number", range(12))
    def test_ddl(fresh_database, number):
        assert fresh_database.name not in names
        assert fresh_database.url.database == fresh_database.name
        assert fresh_database.engine is fresh_database.engine
        names.add(fresh_database.name)
        with fresh_database.engine.begin() as connection:
            assert connection.execute(text("SELECT name FROM users")).all() == [("root",)]
            assert connection.execute(text("SELECT current_database()")).scalar_one() == fresh_database.name
            connection.execute(text("DROP TABLE users"))

    def test_shared(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            assert connection.execute(text("SELECT current_database()")).scalar_one() not in names
            assert connection.execute(text("SELECT name FROM users")).all() == [("root",)]
"""


@pytest.mark.parametrize("arguments", [(), ("-p", "xdist", "-n2")], ids=["alone", "workers"])
def test_each_test_has_a_database_of_its_own(
    project: Project, server: Server, database: URL, arguments: tuple[str, ...]
) -> None:
    """Each test is given another database as the migrations left it, all is proven, and none is left in the end."""
    done = run(project, _DDL, *arguments, TEST_DATABASE_URL=text(database))
    assert done.status == 0, done.output
    assert "13 passed" in done.output
    assert "Warning" not in done.output
    assert "FAILED" not in done.output
    assert "ok        database pristine after every test: 1 test restored" in done.output
    assert left(server) == ""


def test_what_a_test_leaves_open(project: Project) -> None:
    """Sessions that are open after the test are ended, and the test is named: in a warning, and in the checklist."""
    done = run(
        project,
        """
    kept = []

    def test_engine(fresh_database):
        kept.append(fresh_database.engine.connect())

    def test_driver(fresh_database):
        kept.append(psycopg.connect(address(fresh_database.url)))
        kept[-1].execute("SELECT 'of the driver'")

    def test_pool(fresh_database):
        engine = create_engine(fresh_database.url)  # idle connections of a pool are no leak
        do(engine, "SELECT 1")
        kept.append(engine)

    def test_tidy(fresh_database):
        do(fresh_database.engine, "SELECT 1")

    def test_they_are_ended(postgres_engine):
        with postgres_engine.connect() as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%the driver%' AND datname LIKE '%fresh%'"
            assert connection.execute(text(query)).scalar_one() == 0
    """,
        "-p", "no:randomly",
    )  # fmt: skip
    assert "5 passed" in done.output, done.output
    place = re.search(
        r"test_engine left in its fresh_database a connection of fresh_database, taken at (\S+?);", done.output
    )
    assert place is not None, done.output
    assert "test_users.py:" in place[1]
    assert "test_driver left in its fresh_database a connection in a transaction: pid" in done.output
    assert "last query: SELECT 'of the driver'; it was ended" in done.message()
    assert done.output.count("left in its fresh_database") == 2
    assert "test_users.py::test_driver left a connection in a transaction" in done.output


def test_what_a_test_may_do_to_its_database(project: Project, server: Server, database: URL) -> None:
    """It may drop it, rename it, or write into its COMMENT: nothing is left all the same, and nobody complains."""
    done = run(
        project,
        """
    def on(url, statement):
        with psycopg.connect(address(url), autocommit=True) as connection:
            connection.execute(statement)

    def test_drops(fresh_database, postgres_url):
        do(fresh_database.engine, "SELECT 1")
        on(postgres_url, f"DROP DATABASE {fresh_database.name} WITH (FORCE)")

    def test_renames(fresh_database, postgres_url):
        fresh_database.engine.dispose()
        on(postgres_url, f"ALTER DATABASE {fresh_database.name} RENAME TO {fresh_database.name}_new")

    def test_comments(fresh_database, postgres_url):
        do(fresh_database.engine, f"COMMENT ON DATABASE {fresh_database.name} IS 'mine'")

    @pytest.mark.parametrize("number", range(8))
    def test_more(fresh_database, number):
        pass
    """,
        "-p", "no:randomly", TEST_DATABASE_URL=text(database),
    )  # fmt: skip
    assert done.status == 0, done.output
    assert "Warning" not in done.output
    assert left(server) == ""


def test_a_failed_test(project: Project, server: Server, database: URL) -> None:
    """It shows the statements that ran in its database and no password, and its database is kept if that is wanted."""
    done = run(
        project,
        """
    def test_fails(fresh_database):
        do(fresh_database.engine, "UPDATE users SET name = 'of the failed'")
        address(fresh_database.url) + 1
    """,
        "--pristine-keep-failed=1", "--showlocals", TEST_DATABASE_URL=text(database),
    )  # fmt: skip
    assert done.status == 1
    assert "UPDATE users SET name = 'of the failed'" in done.output
    assert "what it committed to its fresh_database is not told\n" in done.output
    assert str(database.password) not in done.output
    kept = re.search(r"^kept +test_users.py::test_fails: .*?(pristine_\w+_failed_\w+)", done.output, re.MULTILINE)
    assert kept is not None, done.output
    assert server.ask("SELECT name FROM users", kept[1]) == "of the failed"
    assert left(server) == ""
    server.ask(f"DROP DATABASE {kept[1]}")
    done = project.run("test_users.py", TEST_DATABASE_URL=text(database))
    hint = "what it committed to its fresh_database is not told; --pristine-keep-failed=3 keeps the database\n"
    assert hint in done.output


def test_a_role_that_may_make_no_databases(project: Project, server: Server) -> None:
    """The test that asks for one is refused with what would give it one, and others run."""
    tests = _DDL.replace("range(12)", "range(1)")
    with new_role(server, "") as role, new_database(server, owner=role.username) as owned:
        done = run(project, tests, TEST_DATABASE_URL=text(role.set(database=owned.database)))
    assert "1 passed" in done.output, done.output
    assert "1 error" in done.output
    for line in (
        "sought:  a template, of which fresh_database is a copy",
        f"found:   the role '{role.username}', which may make no databases: tests work in the one that was named",
        f'to do:   as a superuser: ALTER ROLE "{role.username}" CREATEDB',
    ):
        assert line in done.output
    # It wrote nothing, and there is no database to be kept.
    assert "its fresh_database" not in done.output
    assert "--pristine-keep-failed" not in done.output


def test_a_workspace_of_the_projects_own(project: Project) -> None:
    """Where apply_migrations gives something else than ours, the test that asks is told what to give."""
    project.write(
        "conftest.py",
        """
        from types import SimpleNamespace
        import pytest

        @pytest.fixture(scope="session")
        def apply_migrations(apply_migrations):
            ours = apply_migrations
            return SimpleNamespace(url=ours.url, template=ours.template, rebuild=ours.rebuild, hold=ours.hold,
                                   keep=ours.keep, contested="")
        """,
    )
    done = run(project, _DDL.replace("range(12)", "range(1)"))
    assert "1 passed" in done.output, done.output
    assert "found:   apply_migrations gives a SimpleNamespace that was copied from none" in done.output
    assert "to do:   have apply_migrations yield what postgres_server.migrated_database(...) gives" in done.output


def test_a_workspace_that_was_extended(project: Project) -> None:
    """A project that replaces fields of ours keeps its fresh databases; an override of the fixture builds on it."""
    project.write(
        "conftest.py",
        """
        from dataclasses import replace
        import pytest
        from sqlalchemy import text

        @pytest.fixture(scope="session")
        def apply_migrations(apply_migrations):
            return replace(apply_migrations, rebuild=lambda: apply_migrations.rebuild())

        @pytest.fixture
        def fresh_database(fresh_database):
            with fresh_database.engine.begin() as connection:
                connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
            return fresh_database
        """,
    )
    done = run(
        project,
        """
    def test_loaded(fresh_database):
        assert do(fresh_database.engine, "SELECT count(*) FROM users")[0].scalar_one() == 2

    def test_asked_for_later(request):
        fresh = request.getfixturevalue("fresh_database")
        assert do(fresh.engine, "SELECT count(*) FROM users")[0].scalar_one() == 2
    """,
    )
    assert done.status == 0, done.output


def test_who_is_suspected(project: Project) -> None:
    """A test that has a database of its own alone is not named for what others left in that which they share."""
    done = run(
        project,
        """
    def test_writes(postgres_engine):
        do(postgres_engine, "INSERT INTO users (name) VALUES ('ada')")

    def test_alone(fresh_database):
        do(fresh_database.engine, "INSERT INTO users (name) VALUES ('eve')")

    def test_clean(clean_database):
        pass
    """,
        "-p", "no:randomly",
    )  # fmt: skip
    assert "test_users.py::test_writes, without clean_database, left users 1 row" in done.message(), done.output
    assert "test_alone" not in done.output


def test_tests_that_fork(project: Project) -> None:
    """The pool has no thread when a test forks: nothing hangs, and Python warns of nothing."""
    done = run(
        project,
        """
    pytestmark = pytest.mark.filterwarnings("error")

    @pytest.mark.parametrize("number", range(4))
    def test_forks(fresh_database, number):
        assert "pristine: fresh databases" in [thread.name for thread in threading.enumerate()] or number
        child = os.fork()
        if child == 0:
            os._exit(0)
        assert "pristine: fresh databases" not in [thread.name for thread in threading.enumerate()]
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        do(fresh_database.engine, "DROP TABLE users")
    """,
    )
    assert done.status == 0, done.output


def test_an_interrupted_run(project: Project, server: Server, database: URL) -> None:
    """After Ctrl-C in the middle of a test nothing is left."""
    tests = """
    def test_waits(fresh_database):
        do(fresh_database.engine, "SELECT 1")
        Path("ready").touch()
        sleep(60)

    @pytest.mark.parametrize("number", range(3))
    def test_more(fresh_database, number):
        pass
    """
    project.write("test_users.py", _HEAD + tests)
    process = project.start("-p", "no:randomly", TEST_DATABASE_URL=text(database))
    wait_until((project.path / "ready").exists, "the test runs")
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.status == pytest.ExitCode.INTERRUPTED, done.output
    assert left(server) == ""


def test_the_server_dies_in_the_middle(home: Home, project_at: Callable[[Home], Project]) -> None:
    """The test that had it fails, the server is started again, and the next has a database of its own."""
    project = project_at(home)
    tests = """
    def test_waits(fresh_database):
        do(fresh_database.engine, "SELECT 1")
        Path("ready").touch()
        while not Path("go").exists():
            sleep(0.02)
        do(fresh_database.engine, "SELECT 1")

    @pytest.mark.parametrize("number", range(3))
    def test_more(fresh_database, number):
        assert do(fresh_database.engine, "SELECT name FROM users")[0].scalar_one() == "root"
    """
    project.write("test_users.py", _HEAD + tests)
    process = project.start("-p", "no:randomly")
    wait_until((project.path / "ready").exists, "the test runs")
    (postmaster,) = home.postmasters()
    postmaster.kill()
    (project.path / "go").touch()
    done = finish(process)
    assert "1 failed, 3 passed" in done.output, done.output
    assert "INTERNALERROR" not in done.output


def test_too_few_connections(project: Project, server: Server) -> None:
    """Where there are few, fresh databases take theirs from the shared engine; where there is none, it is said."""
    tests = (
        _DDL
        + """
    def test_share(postgres_engine, fresh_database):
        with postgres_engine.connect(), postgres_engine.connect():
            do(fresh_database.engine, "SELECT 1")
    """
    )
    with new_role(server, "CREATEDB CONNECTION LIMIT 11") as role, new_database(server, owner=role.username) as owned:
        done = run(project, tests, TEST_DATABASE_URL=text(role.set(database=owned.database)))
        assert done.status == 0, done.output
        assert "the engine has 3 connections at most" in done.output, done.output
    with new_role(server, "CREATEDB CONNECTION LIMIT 5") as role, new_database(server, owner=role.username) as owned:
        done = run(project, tests, TEST_DATABASE_URL=text(role.set(database=owned.database)))
        assert "1 passed" in done.output, done.output
        assert "connections: of each worker 3 for fresh_database, 2 for other tests and 2 to restore" in done.message()


def test_schema_coverage_says_that_it_does_not_see_it(project: Project) -> None:
    """What is done there counts nowhere, which is said beside the percentage, where there was such a database."""
    writes = """
    def test_writes(fresh_database, postgres_engine):
        do(fresh_database.engine, "INSERT INTO users (name) VALUES ('a')")
    """
    done = run(project, writes, "--pristine-schema-cov")
    assert re.search(r"^schema coverage: 0 of \d+ objects, 0 %; not seen: what was done in fresh databases$",
                     done.output, re.MULTILINE), done.output  # fmt: skip
    elsewhere = writes.replace("fresh_database.engine", "postgres_engine").replace("fresh_database", "clean_database")
    done = run(project, elsewhere, "--pristine-schema-cov")
    assert "schema coverage: " in done.output
    assert "not seen" not in done.output
