"""What a newcomer sees when something is wrong: one message, no traceback, and an exit code that CI understands."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import URL

from tests.conftest import CALLED, Project, Run
from tests.plugin.test_plugin import PLAIN

BROKEN = """
    from alembic import op

    revision, down_revision = "0002", "0001"

    def upgrade():
        op.execute("INSERT INTO nowhere VALUES (1)")
"""


def plain_message(done: Run, sought: str, times: int = 1) -> None:
    """Check that a message of ours is shown, as often as it should be, and no traceback."""
    assert done.output.count(sought) == times, done.output
    assert "Traceback" not in done.output
    assert "src/pytest_pristine" not in done.output
    assert "plugin/fixtures.py" not in done.output
    assert "INTERNALERROR" not in done.output


@pytest.mark.parametrize("options", [(), ("-vv", "--tb=long", "--showlocals")])
def test_a_failing_migration_fails_the_run(project: Project, options: tuple[str, ...]) -> None:
    """A migration that fails is exit code 1, and its message is shown without a traceback."""
    project.write("migrations/versions/0002_broken.py", BROKEN)
    done = project.run(*PLAIN, *options)
    assert done.status == 1
    assert "1 error" in done.output
    message = done.message()
    assert "found: revision 0002 in migrations/versions/0002_broken.py failed" in message
    assert 'relation "nowhere" does not exist' in message
    assert "in the statement: INSERT INTO nowhere VALUES (1)" in message
    # With -vv pytest's summary repeats every message.
    assert done.output.count("found:   revision 0002") == (2 if "-vv" in options else 1)
    assert "plugin/fixtures.py" not in done.output
    assert "templates/workspace.py" not in done.output


def test_a_failing_migration_is_told_once(project: Project) -> None:
    """However many tests need the database, the migration's message is shown once, and it is run once."""
    project.write("migrations/versions/0002_broken.py", BROKEN.replace(
        "op.execute", "open('migrated.log', 'a').write('x'); op.execute"))  # fmt: skip
    project.write("test_more.py", """
        import pytest

        @pytest.mark.parametrize("number", range(3))
        def test_more(clean_database, number):
            pass
    """)  # fmt: skip
    # Tried on top of a template that another test left, it would be run once more from nothing.
    done = project.run(*PLAIN, PRISTINE_DELTA="false")
    assert done.status == 1
    assert "4 errors" in done.output
    assert (project.path / "migrated.log").read_text() == "x"
    assert done.output.count("in the statement: INSERT INTO nowhere") == 1


def test_no_server(project: Project) -> None:
    """Without a server the run is a usage error, exit code 4, before any test, with every source's reason."""
    done = project.run(*PLAIN, "--pristine-server=url", PRISTINE_POSTGRES_VERSION="")
    assert done.status == 4
    assert "passed" not in done.output
    assert "url: no URL is given" in done.output
    assert "set TEST_DATABASE_URL" in done.output
    plain_message(done, "a Postgres server (--pristine-server: url)")


def test_a_setting_that_cannot_be_read(project: Project) -> None:
    """A value that is none is a usage error, exit code 4, that names the setting and what it may be."""
    done = project.run(*PLAIN, PRISTINE_SERVER="oracle")
    assert done.status == 4
    plain_message(done, "for PRISTINE_SERVER")
    assert "one of auto, url, up, embedded, local, docker" in done.output


def test_a_url_that_does_not_answer(project: Project) -> None:
    """A TEST_DATABASE_URL that does not answer is exit code 4, and its password is not shown."""
    done = project.run(*PLAIN, TEST_DATABASE_URL="postgresql://app:geheim@127.0.0.1:1/app_test")
    assert done.status == 4
    assert "geheim" not in done.output
    plain_message(done, "the Postgres at postgresql://app:***@127.0.0.1:1/app_test (from TEST_DATABASE_URL)")


def test_a_configured_url_that_does_not_answer(project: Project) -> None:
    """A pristine_url that does not answer is passed over, and the header says so."""
    project.write("pytest.ini", "[pytest]\npristine_url = postgresql://app:geheim@127.0.0.1:1/app_test\n")
    done = project.run(*PLAIN)
    assert done.status == 0, done.output
    url = "postgresql://app:***@127.0.0.1:1/app_test"
    why = f"passed over url: nothing answers at {url} (pristine_url in the ini file)"
    assert f"pristine: {CALLED}; {why}; restores" in done.output
    assert "geheim" not in done.output


def test_no_alembic_ini(project: Project) -> None:
    """A project without alembic.ini is told what was looked for and where."""
    (project.path / "alembic.ini").unlink()
    done = project.run(*PLAIN)
    assert done.status == 1
    plain_message(done, "sought:  alembic.ini in")


def test_an_error_in_teardown(project: Project) -> None:
    """A restore that is blocked after a test is that test's error, without a traceback, and names the culprit."""
    project.write("test_users.py", """
        from sqlalchemy import text

        leaked = []

        def test_leaks(postgres_engine, clean_database):
            connection = postgres_engine.connect()
            connection.execute(text("INSERT INTO users (name) VALUES ('mine')"))
            connection.execute(text("LOCK TABLE users"))
            leaked.append(connection)

        def test_goes_on(postgres_engine, clean_database):
            with postgres_engine.connect() as connection:
                assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 1
    """)  # fmt: skip
    done = project.run(*PLAIN, "-o", "pristine_restore_timeout=0.1")
    assert done.status == 1
    assert "2 passed, 1 error" in done.output
    assert "ERROR at teardown of test_leaks" in done.output
    assert "idle in transaction" in done.output
    plain_message(done, "sought:  to put the database back, for 0.1 s")


def test_ctrl_c_again_and_again(project: Project) -> None:
    """A run that is interrupted while it cleans up ends, says so, and still has its summary."""
    project.write("conftest.py", """
        import os
        import signal

        from pytest_pristine.postgres import databases
        from pytest_pristine.servers.server import Server

        def interrupted(usual):
            def call(*arguments):
                os.kill(os.getpid(), signal.SIGINT)
                usual(*arguments)
            return call

        databases.drop, Server.release = interrupted(databases.drop), interrupted(Server.release)
    """)  # fmt: skip
    project.write("test_users.py", """
        import os
        import signal

        def test_passes(clean_database):
            pass

        def test_is_interrupted(clean_database):
            os.kill(os.getpid(), signal.SIGINT)
    """)  # fmt: skip
    done = project.run(*PLAIN)
    assert done.status == 2
    assert done.output.count("pristine: interrupted while it cleaned up: the next run, or pristine prune, drops") == 1
    assert "1 passed" in done.output
    assert "Traceback" not in done.output


def test_a_lock_that_a_test_finds(project: Project) -> None:
    """What blocks a restore before a test is not that test's: a warning names the session, and the test runs."""
    project.write("test_users.py", """
        from sqlalchemy import text

        leaked = []

        def test_leaks(postgres_engine):
            connection = postgres_engine.connect()
            connection.execute(text("LOCK TABLE users"))
            leaked.append(connection)

        def test_does_not_suffer(postgres_engine, clean_database):
            with postgres_engine.begin() as connection:
                connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
    """)  # fmt: skip
    done = project.run(*PLAIN, PRISTINE_RESTORE_TIMEOUT="0.1")
    assert done.status == 0
    assert "2 passed, 1 warning" in done.output
    assert "LeftoverWarning: before test_users.py::test_does_not_suffer, a lock held by another" in done.output
    assert "last query: LOCK TABLE users; it was ended, and the database made anew" in done.output


def test_errors_of_both_in_teardown(project: Project) -> None:
    """An error of ours beside one of the project's own is still told by its message."""
    project.write("conftest.py", """
        import pytest

        @pytest.fixture
        def broken(clean_database):
            yield
            raise ValueError("their own")
    """)  # fmt: skip
    project.write("test_users.py", """
        from sqlalchemy import text

        def test_leaks(postgres_engine, broken):
            global leaked
            leaked = postgres_engine.connect()
            leaked.execute(text("LOCK TABLE users"))
    """)  # fmt: skip
    done = project.run(*PLAIN, PRISTINE_RESTORE_TIMEOUT="0.1")
    assert done.status == 1
    assert "their own" in done.output
    assert "a lock held by another session" in done.output


def test_a_database_that_is_not_ours(project: Project, database: URL, server: object) -> None:
    """A database with something in it is refused, exit code 4, untouched; the option that allows it is named."""
    server.ask("CREATE TABLE precious AS SELECT 1 AS id", database.database)  # type: ignore[attr-defined]
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    done = project.run(*PLAIN, TEST_DATABASE_URL=url)
    assert done.status == 4
    plain_message(done, "table public.precious, and no mark of ours. Nothing was touched")
    assert f"--pristine-claim={database.database}" in done.output
    assert server.ask("SELECT id FROM precious", database.database) == "1"  # type: ignore[attr-defined]
    assert str(database.password) not in done.output
