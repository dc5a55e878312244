"""`pristine_export`: the application finds the worker's database where it reads its settings, before it is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy.engine import URL

from tests.conftest import Project, Server, finish, new_role

APP = """
    import os
    from pathlib import Path

    from sqlalchemy import create_engine, text

    URL = os.environ["DATABASE_URL"]
    engine = create_engine(URL, pool_pre_ping=True)

    def execute(statement):
        with engine.begin() as connection:
            return connection.execute(text(statement))

    def sign_up(name):
        execute(f"INSERT INTO users (name) VALUES ('{name}')")
        return execute("SELECT count(*) FROM users").scalar_one()

    def where():
        return execute("SELECT current_database()").scalar_one()
"""
TESTS = """
    import os
    from pathlib import Path

    import app
    import pytest

    @pytest.mark.parametrize("number", range(2))
    def test_signs_up(clean_database, number):
        assert app.sign_up("ada") == 2

    def test_is_the_same(postgres_url):
        assert app.where() == postgres_url.database
        with Path("seen").open("a") as seen:
            seen.write(f"{os.environ.get('PYTEST_XDIST_WORKER')} {app.where()}\\n")
"""
# An apply_migrations that is the project's own.
OWN = """
    import app
    import pytest

    from pytest_pristine import Alembic

    @pytest.fixture(scope="session")
    def apply_migrations(postgres_server, pytestconfig):
        migrations = Alembic(pytestconfig.rootpath / "alembic.ini")
        with postgres_server.migrated_database(migrations) as database:
            {rest}
"""
ENV_PY = """
    from alembic import context

    import app

    with app.engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""


@pytest.fixture
def shop(project: Project) -> Project:
    """A project whose conftest.py imports an application with an engine of its own."""
    project.write("pytest.ini", "[pytest]\npristine_export = DATABASE_URL\npythonpath = .\n")
    project.write("app.py", APP)
    project.write("conftest.py", "import app\n")
    project.write("test_users.py", TESTS)
    return project


def seen(project: Project) -> list[list[str]]:
    """Worker and database of each test that said so."""
    return sorted(line.split() for line in (project.path / "seen").read_text(encoding="utf-8").splitlines())


def text_of(url: URL) -> str:
    """A URL as a user writes it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def test_the_application_has_the_database(shop: Project) -> None:
    """An engine that a conftest.py makes at its import works in the database that is restored, and migrated by it."""
    shop.write("migrations/env.py", ENV_PY)
    run = shop.run("--pristine-report=report")
    assert run.status == 0, run.output
    assert "; exported as DATABASE_URL" in run.output
    assert "ok        database pristine after every test: 2 tests restored" in run.output
    assert "ok        no connection left open or in a transaction: none" in run.output


def test_each_worker_has_its_own(shop: Project) -> None:
    """Under pytest-xdist each worker's application is told of the worker's database."""
    run = shop.run("-p", "xdist", "-n", "2", "--dist", "each")
    assert run.status == 0, run.output
    workers = seen(shop)
    assert [worker for worker, _ in workers] == ["gw0", "gw1"]
    assert all(name.endswith(f"_{worker}") for worker, name in workers)


def test_workers_that_find_the_server_themselves(shop: Project) -> None:
    """A worker of another Python is told nothing by the controller, and tells its application all the same."""
    run = shop.run("-p", "xdist", "--dist", "each", "--tx", f"popen//python={sys.executable}")
    assert run.status == 0, run.output
    assert [worker for worker, _ in seen(shop)] == ["gw0"]


def test_a_test_that_asks_for_nothing(shop: Project) -> None:
    """The database is there for every test, and one that leaves something in it is named."""
    shop.write("test_users.py", """
        import app

        def test_1_leaves_ada():
            assert app.sign_up("ada") == 2

        def test_2_is_clean(clean_database):
            assert app.sign_up("ada") == 2

        def test_3_rebuilds(clean_database):
            app.execute("DROP TABLE users")

        def test_4_has_sessions_that_were_ended(clean_database):
            assert app.sign_up("ada") == 2

        def test_5_may_open_sqlite():
            import sqlite3
            sqlite3.connect(":memory:").close()
    """)  # fmt: skip
    run = shop.run("--pristine-report=report")
    assert "5 passed" in run.output, run.output
    assert "test_users.py::test_1_leaves_ada, without clean_database, left users 1 row" in run.message()


def test_a_variable_that_is_set_already(shop: Project) -> None:
    """It is hidden from the tests and what they start, not used by us, and as it was when pytest has ended."""
    shop.write("test_child.py", """
        import os
        import subprocess
        import sys

        import app

        def test_a_child_inherits_it():
            shown = "import os; print(os.environ['DATABASE_URL'])"
            done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True)
            assert done.stdout.strip() == app.URL == os.environ["DATABASE_URL"]
            assert "production" not in app.URL
    """)  # fmt: skip
    shop.write("main.py", """
        import os
        import sys

        import pytest

        def variable():
            return os.environ.get("DATABASE_URL")

        assert pytest.main([*sys.argv[1:]]) == 0
        assert variable() == "postgresql://production/precious", variable()
        del os.environ["DATABASE_URL"]
        open("conftest.py", "w").write("import nothing_of_that_name")
        assert pytest.main([*sys.argv[1:]]) == 4
        assert variable() is None
    """)  # fmt: skip
    arguments = shop.command()[3:]
    process = subprocess.Popen(
        [sys.executable, "main.py", *arguments], cwd=shop.path, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**shop.environ, "DATABASE_URL": "postgresql://production/precious"},
    )  # fmt: skip
    run = finish(process)
    assert run.status == 0, run.output
    assert "4 passed" in run.output


@pytest.mark.parametrize("arguments", [["--collect-only"], ["--fixtures"], ["--setup-plan"], ["--help"]])
def test_a_run_of_no_test(shop: Project, arguments: list[str]) -> None:
    """A run that runs no test looks for no server, and the application is told of one that refuses."""
    refusing = "postgresql+psycopg://pristine@127.0.0.1:1/no_test_is_run"
    shop.write("conftest.py", f"import app\nassert app.URL == {refusing!r}\nprint('imported')\n")
    run = shop.run(*arguments, "-s", PRISTINE_SERVER="url")
    assert run.status == 0, run.output
    assert "imported" in run.output
    assert "127.0.0.1" not in run.output.replace(refusing, "")


def test_commands_start_nothing(shop: Project) -> None:
    """A command of ours reads the settings of such a project, and finds no server for that."""
    command = [sys.executable, "-c", "import sys; from pytest_pristine.cli import main; sys.exit(main(['status']))"]
    environ = {**shop.environ, "PRISTINE_SERVER": "url"}
    done = subprocess.run(command, cwd=shop.path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("arguments", [[], ["-p", "xdist", "-n", "2"]])
def test_no_server(shop: Project, arguments: list[str]) -> None:
    """Without a server the run ends before anything is imported, with exit code 4 and our message alone."""
    shop.write("conftest.py", "print('imported')\n")
    run = shop.run(*arguments, PRISTINE_SERVER="url")
    assert run.status == 4, run.output
    assert "ERROR: pytest-pristine\nsought:  a Postgres server" in run.output
    assert "(PRISTINE_SERVER: url)\nfound:   url: no URL is given" in run.output
    assert "Traceback" not in run.output
    assert "imported" not in run.output


@pytest.mark.parametrize("wrong", ["DATABASE_URL = mysql", "DATABASE-URL", "DATABASE_URL =", "PG* = host"])
def test_what_is_no_variable(shop: Project, wrong: str) -> None:
    """What cannot be read is told with what could, exit code 4."""
    run = shop.run(f"--pristine-export={wrong}")
    assert run.status == 4, run.output
    assert (
        "sought:  variables, one a line, such as DATABASE_URL, DATABASE_URL = postgresql+asyncpg, "
        f"DB_HOST = host (port, user, password, database) or PG*, for --pristine-export\nfound:   {wrong!r}"
    ) in run.output


def test_an_empty_option(shop: Project) -> None:
    """An empty --pristine-export exports nothing in this run."""
    shop.write("conftest.py", "")
    shop.write("test_users.py", "import os\n\ndef test_has_none():\n    assert 'DATABASE_URL' not in os.environ\n")
    run = shop.run("--pristine-export=", PRISTINE_SERVER="url")
    assert run.status == 0, run.output


def test_own_migrations(shop: Project) -> None:
    """An apply_migrations of the project's own gets the database that the application was told of, in each worker."""
    shop.write("migrations/env.py", ENV_PY)
    shop.write("conftest.py", OWN.format(rest="yield database"))
    run = shop.run("-p", "xdist", "-n", "1")
    assert run.status == 0, run.output
    assert [worker for worker, _ in seen(shop)] == ["gw0"]


def test_another_database(shop: Project) -> None:
    """An apply_migrations that gives another database is an error that names both, and what to do."""
    rest = "with postgres_server.migrated_database(migrations) as other:\n                yield other"
    shop.write("conftest.py", OWN.format(rest=rest))
    run = shop.run("-k", "test_is_the_same")
    assert run.status == 1, run.output
    assert "sought:  the database of which the application was told by DATABASE_URL: pristine_shop_" in run.output
    assert "found:   apply_migrations gives another: pristine_shop_" in run.output
    assert "to do:   have it yield what postgres_server.migrated_database(…) gives; called once, with" in run.output


def test_a_database_that_is_named(shop: Project, database: URL) -> None:
    """A copy beside the named database is exported, by whatever variables, TEST_DATABASE_URL among them."""
    shop.write(
        "pytest.ini",
        """
        [pytest]
        pythonpath = .
        pristine_export =
            DATABASE_URL
            TEST_DATABASE_URL = postgresql
            PG*
    """,
    )
    shop.write(
        "test_more.py",
        """
        import os

        import app
        import psycopg
        import pytest

        @pytest.mark.parametrize("text", ["", os.environ["TEST_DATABASE_URL"]])
        def test_is_the_same_for_libpq(text):
            with psycopg.connect(text) as connection:
                assert connection.info.dbname == app.where()
    """,
    )
    run = shop.run("-p", "xdist", "-n", "1", TEST_DATABASE_URL=text_of(database), PGPASSWORD="of production")
    assert run.status == 0, run.output
    ((worker, name),) = seen(shop)
    assert worker == "gw0"
    assert name.startswith(f"{database.database}_")
    assert name.endswith("_gw0")


def test_in_place(shop: Project, server: Server) -> None:
    """Where the role may make no databases, the one that was named is exported, and a second worker is refused."""
    with new_role(server, "") as role:
        name = f"place_{role.username}"
        with server.connect() as client:
            client.execute(f"CREATE DATABASE {name} OWNER {role.username}")  # type: ignore[call-overload]
        url = text_of(role.set(database=name))
        run = shop.run(TEST_DATABASE_URL=url)
        assert run.status == 0, run.output
        assert seen(shop) == [["None", name]]
        run = shop.run("-p", "xdist", "-n", "2", TEST_DATABASE_URL=url)
        assert run.status == 4, run.output
        assert "found:   2 workers\nto do:   run one worker: without -n, or with -n 1" in run.output


def test_an_extension_that_the_server_has_not(shop: Project) -> None:
    """Migrations that want another server, of which the application was not told, fail with what to set."""
    shop.write("migrations/versions/0002_more.py", """
        from alembic import op

        revision, down_revision = "0002", "0001"
        name = "nowhere" + "_to_be_had"

        def upgrade():
            op.execute(f"CREATE EXTENSION {name}")
    """)  # fmt: skip
    run = shop.run("-k", "test_is_the_same")
    assert run.status == 1, run.output
    assert "The application was told of this server before (pristine_export): PostgreSQL " in run.message()
    assert "to do: pristine_extensions = nowhere_to_be_had in the ini file: a server is then chosen" in run.message()


def test_no_password_in_errors_of_imports(shop: Project, database: URL) -> None:
    """What quotes the URL is shown without the password: a test, and a module or conftest.py that is no good."""
    broken = "import app\n\nraise ValueError(f'not a URL: {app.URL}')\n"
    shop.write(
        "pytest.ini", "[pytest]\npristine_export = DATABASE_URL = postgresql+psycopg, OTHER=postgresql+asyncpg\n"
    )
    shop.write("test_users.py", broken)
    shop.write(
        "test_more.py", "import os\n\ndef test_fails():\n    print(os.environ)\n    assert os.environ['OTHER'] == 1\n"
    )
    run = shop.run("--continue-on-collection-errors", TEST_DATABASE_URL=text_of(database))
    assert run.status == 1, run.output
    assert "not a URL: postgresql+psycopg://" in run.output
    assert "postgresql+asyncpg://" in run.output
    assert str(database.password) not in run.output
    shop.write("conftest.py", broken)
    run = shop.run(TEST_DATABASE_URL=text_of(database))
    assert run.status == 4, run.output
    assert "ImportError while loading conftest" in run.output
    assert "not a URL: postgresql+psycopg://" in run.output
    assert str(database.password) not in run.output


def test_a_worker_that_dies(shop: Project) -> None:
    """The worker that takes its place has a database of its own, of which its application is told."""
    shop.write("test_a.py", "import os\n\ndef test_dies():\n    os._exit(1)\n")
    run = shop.run("-p", "xdist", "-n", "1", "-p", "no:randomly")
    assert "1 failed, 3 passed" in run.output, run.output
    assert [worker for worker, _ in seen(shop)] == ["gw1"]


def test_migrations_that_fail(shop: Project) -> None:
    """They are tried once for all workers: that each has a URL of its own is no reason to try again."""
    shop.write("migrations/versions/0001_users.py", """
        from pathlib import Path

        from alembic import op

        revision, down_revision = "0001", None

        def upgrade():
            with Path("tried").open("a") as file:
                file.write("x")
            op.execute("CREATE TABLE no_more_than")
    """)  # fmt: skip
    run = shop.run("-p", "xdist", "-n", "2", "--dist", "each")
    assert run.status == 1, run.output
    assert "revision 0001 in " in run.message()
    assert (shop.path / "tried").read_text(encoding="utf-8") == "x"
