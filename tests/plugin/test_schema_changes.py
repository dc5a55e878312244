"""What a test should not have done is told in its name, and the tests after it never notice."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Project, Run

PLAIN = ("-p", "no:randomly")
STRICT = ("-W", "error::pytest_pristine.SchemaChangedWarning")

# The tests of a project begin with these.
HEAD = """
import pytest
from sqlalchemy import text


def write(engine, *statements):
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def read(engine, query):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def is_pristine(engine):
    write(engine, "INSERT INTO users (name) VALUES ('new')")
    return read(engine, "SELECT * FROM users ORDER BY id") == [(1, "root"), (2, "new")]

"""

# Two that use all they are given: the shared engine, its pool and what its connections prepared.
PREPARES = """
def test_before(postgres_engine, clean_database):
    for _ in range(20):
        assert read(postgres_engine, "SELECT * FROM users") == [(1, "root")]
    assert is_pristine(postgres_engine)
"""
FINDS = """
def test_after{0}(postgres_engine, clean_database):
    for _ in range(20):
        assert read(postgres_engine, "SELECT * FROM users") == [(1, "root")]
    assert is_pristine(postgres_engine)
"""
CHANGES = """
def test_changes{0}(postgres_engine, clean_database):
    write(postgres_engine, "INSERT INTO users (name) VALUES ('x')", "ALTER TABLE users ADD COLUMN age int DEFAULT 1")
    for _ in range(20):
        assert len(read(postgres_engine, "SELECT * FROM users")[0]) == 3
"""


def run(project: Project, *parts: str, options: tuple[str, ...] = ()) -> Run:
    """Run a project's tests in the order in which they are written."""
    (project.path / "test_users.py").write_text(HEAD + "\n".join(parts), encoding="utf-8")
    return project.run(*PLAIN, "-v", *options)


def outcomes(done: Run) -> dict[str, str]:
    """The outcome of each test, as -v prints them; an error in teardown comes after the test's own."""
    found: dict[str, str] = {}
    for name, outcome in re.findall(r"^test_users\.py::(\w+) (PASSED|FAILED|ERROR)", done.output, re.MULTILINE):
        found[name] = " ".join(filter(None, [found.get(name), outcome]))
    return found


def warnings(done: Run) -> str:
    """The summary of warnings, as one line."""
    _, _, summary = done.output.partition("warnings summary")
    return " ".join(summary.split())


def test_a_test_that_changes_the_schema(project: Project) -> None:
    """The test is named in the summary with what it changed, and the next one finds the old schema and a good pool."""
    done = run(project, PREPARES, CHANGES.format(""), FINDS.format(""))
    assert done.status == 0, done.output
    assert set(outcomes(done).values()) == {"PASSED"}
    assert "SchemaChangedWarning: test_users.py::test_changes changed more than rows" in warnings(done)
    assert "column age of table users" in warnings(done)
    assert "The database was made anew" in warnings(done)
    assert warnings(done).count("SchemaChangedWarning") == 1


def test_the_warning_may_be_an_error(project: Project) -> None:
    """A project that makes an error of the warning has it in the test that changed the schema, and in no other."""
    done = run(project, PREPARES, CHANGES.format(""), FINDS.format(""), options=STRICT)
    assert done.status == 1, done.output
    assert outcomes(done) == {"test_before": "PASSED", "test_changes": "PASSED ERROR", "test_after": "PASSED"}
    assert "ERROR at teardown of test_changes" in done.output
    assert "column age of table users" in done.output


@pytest.mark.parametrize("options", [(), STRICT])
def test_two_in_a_row(project: Project, options: tuple[str, ...]) -> None:
    """Each of several tests that change the schema is named, and each found the schema as it should be."""
    done = run(project, CHANGES.format(1), CHANGES.format(2), FINDS.format(1), CHANGES.format(3), FINDS.format(2),
               options=options)  # fmt: skip
    expected = "PASSED ERROR" if options else "PASSED"
    assert outcomes(done) == {
        "test_changes1": expected, "test_changes2": expected, "test_after1": "PASSED", "test_changes3": expected,
        "test_after2": "PASSED",
    }, done.output  # fmt: skip
    for number in (1, 2, 3):
        assert f"test_users.py::test_changes{number} changed more than rows" in done.message()


def test_a_change_by_a_test_without_the_fixture(project: Project) -> None:
    """What a test without clean_database changed is found before the next one that has it, which runs all the same."""
    changes = CHANGES.format("").replace(", clean_database", "")
    done = run(project, PREPARES, changes, FINDS.format(1), FINDS.format(2))
    assert done.status == 0, done.output
    assert set(outcomes(done).values()) == {"PASSED"}
    assert "before test_users.py::test_after1 something changed more than rows" in warnings(done)
    assert warnings(done).count("SchemaChangedWarning") == 1


def test_a_session_that_is_still_open(project: Project) -> None:
    """A connection that a test forgot is ended with the database, and the next test gets another one."""
    forgets = """
kept = []

def test_forgets(postgres_engine, clean_database):
    kept.append(postgres_engine.connect())
    write(postgres_engine, "CREATE TABLE more (id int)")
"""
    done = run(project, PREPARES, forgets, FINDS.format(""))
    assert done.status == 0, done.output
    assert "test_users.py::test_forgets changed more than rows: table more" in warnings(done)


def test_an_advisory_lock(project: Project) -> None:
    """A session that kept an advisory lock is ended, the test is named, and the next one can take the lock."""
    locks = """
def test_locks(postgres_engine, clean_database):
    read(postgres_engine, "SELECT pg_advisory_lock(1)")
"""
    takes = """
def test_takes(postgres_engine, clean_database):
    with postgres_engine.connect() as first, postgres_engine.connect() as second:
        assert second.execute(text("SELECT pg_try_advisory_lock(1)")).scalar_one()
        assert second.execute(text("SELECT pg_advisory_unlock(1)")).scalar_one()
        assert first.execute(text("SELECT name FROM users")).scalar_one() == "root"
"""
    done = run(project, PREPARES, locks, takes, FINDS.format(""))
    assert done.status == 0, done.output
    assert "LeftoverWarning: test_users.py::test_locks left an advisory lock of the session pid" in warnings(done)
    assert "which was ended" in warnings(done)
    assert warnings(done).count("LeftoverWarning") == 1
    strict = run(project, locks, takes, options=("-W", "error::pytest_pristine.LeftoverWarning"))
    assert outcomes(strict) == {"test_locks": "PASSED ERROR", "test_takes": "PASSED"}


def test_a_lock_that_was_held_before(project: Project) -> None:
    """A session-wide fixture may hold an advisory lock for all tests."""
    holds = """
@pytest.fixture(scope="session")
def held(postgres_engine):
    with postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_advisory_lock(1)"))
        yield connection

@pytest.mark.parametrize("again", [1, 2])
def test_holds(held, postgres_engine, clean_database, again):
    held_still = text("SELECT pg_advisory_unlock(1), pg_advisory_lock(1)")
    assert held.execute(held_still).scalar_one()
    assert is_pristine(postgres_engine)
"""
    done = run(project, holds)
    assert done.status == 0, done.output
    assert "Warning" not in done.output


def test_a_session_that_blocks(project: Project) -> None:
    """The test that left a session with a lock errs and names it, the run goes on, and the next test passes."""
    blocks = """
kept = []

def test_blocks(postgres_engine, clean_database):
    connection = postgres_engine.connect()
    kept.append(connection)
    connection.execute(text("SET application_name TO 'the culprit'"))
    connection.execute(text("INSERT INTO users (name) VALUES ('x')"))
    connection.execute(text("LOCK TABLE users IN ACCESS EXCLUSIVE MODE"))
    print("culprit:", connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
"""
    done = run(project, PREPARES, blocks, FINDS.format(1), FINDS.format(2),
               options=("-s", "--pristine-restore-timeout=0.2"))  # fmt: skip
    assert done.status == 1, done.output
    pid = re.search(r"culprit: (\d+)", done.output)
    assert pid is not None
    message = done.message()
    assert f"pid {pid[1]} (the culprit), idle in transaction" in message
    assert "locks on users" in message
    assert "last query: SELECT pg_backend_pid()" in message
    assert "ERROR at teardown of test_blocks" in message
    assert "4 passed, 1 error" in message


def test_a_dropped_database(project: Project) -> None:
    """A test may drop the very database: the next one finds it as it was."""
    drops = """
def test_drops(postgres_engine, postgres_url, clean_database):
    from sqlalchemy import create_engine
    postgres_engine.dispose()
    elsewhere = create_engine(postgres_url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with elsewhere.connect() as connection:
        connection.execute(text(f'DROP DATABASE "{postgres_url.database}" WITH (FORCE)'))
    elsewhere.dispose()
"""
    done = run(project, PREPARES, drops, FINDS.format(""))
    assert done.status == 0, done.output
    assert "test_users.py::test_drops changed more than rows" in warnings(done)


def test_a_transaction_that_was_forgotten(project: Project) -> None:
    """A test that writes the key which a leaked connection wrote and did not commit does not wait for it for ever."""
    project.write("test_users.py", """
        from sqlalchemy import text

        leaked = []

        def test_leaks(postgres_engine, clean_database):
            leaked.append(postgres_engine.connect())
            leaked[0].execute(text("INSERT INTO users (name) VALUES ('open')"))

        def test_writes(postgres_engine, clean_database):
            with postgres_engine.begin() as connection:
                connection.execute(text("INSERT INTO users (name) VALUES ('open')"))
    """)  # fmt: skip
    done = project.run("-p", "no:randomly", PRISTINE_RESTORE_TIMEOUT="0.1")
    assert done.status == 0, done.output
    assert "LeftoverWarning: before test_users.py::test_writes something left an open transaction" in warnings(done)
