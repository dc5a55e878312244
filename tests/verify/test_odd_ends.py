"""Runs that end in other ways than by coming to their end, and tests that run otherwise than once: no tick is false."""

from __future__ import annotations

import pytest

from tests.conftest import Run
from tests.verify.conftest import Tests
from tests.verify.test_checklist import GOOD, UNCLEAN, block, item

CRASH = """
    import os

    def test_crashes(postgres_engine, clean_database):
        os._exit(3)
"""
LOCKS_ONCE = """
    held = []

    def test_locks(postgres_engine, postgres_url, clean_database):
        if not held:
            held.append(psycopg.connect(address(postgres_url)))
            held[0].execute("LOCK TABLE users")
"""
INTERRUPTED = """
    def test_interrupted():
        raise KeyboardInterrupt
"""


def offenders(run: Run) -> list[str]:
    """What is told below the items that do not hold."""
    return [line.strip() for line in block(run) if line.startswith(" " * 10) and "to do: " not in line]


def test_a_worker_that_crashes(tests: Tests) -> None:
    """What a worker left behind that did not come to its end is not ticked."""
    run = tests(GOOD + CRASH, "-p", "xdist", "-n2")
    assert run.status == 1, run.output
    for title in ("database pristine", "no connection", "no SQLite"):
        assert item(run, title).startswith("unproven"), run.output
        assert " did not say how it ended" in item(run, title)


def test_an_interrupted_run_after_a_test_that_does_not_clean(tests: Tests) -> None:
    """What a test left that was not to be undone is told, also of a run that somebody interrupts after it."""
    run = tests(GOOD.replace("ada", "bob") + UNCLEAN + INTERRUPTED)
    assert run.status == pytest.ExitCode.INTERRUPTED
    assert offenders(run) == [
        "test_users.py::test_unclean, without clean_database, left users 1 row, sequence users_id_seq"
    ]


def test_a_test_that_asks_late(tests: Tests) -> None:
    """A test that asks for clean_database when it has written is named once, with what it did."""
    run = tests(UNCLEAN.replace("def test_unclean(postgres_engine):", "def test_unclean(request, postgres_engine):")
                + '        request.getfixturevalue("clean_database")\n')  # fmt: skip
    assert offenders(run) == [
        "test_users.py::test_unclean, before it asked for clean_database, left users 1 row, sequence users_id_seq"
    ], run.output


def test_a_test_that_is_run_again(tests: Tests) -> None:
    """What stood in the way of a restore is told, although the test passed when it was run again."""
    run = tests(LOCKS_ONCE, "-p", "rerunfailures", "--reruns=1", "--pristine-restore-timeout=0.2")
    assert run.status == 0, run.output
    (offender,) = offenders(run)
    assert offender.startswith("test_users.py::test_locks could not be undone: a lock held by")


def test_a_test_that_fails_again(tests: Tests) -> None:
    """A test that fails again has one database kept and told, the last, also where there is room for one alone."""
    failing = GOOD + "        assert False"
    run = tests(failing, "-p", "rerunfailures", "--reruns=1", "--pristine-keep-failed=1")
    assert [line for line in block(run) if line.startswith("kept ")] == [
        "kept      test_users.py::test_writes: pristine psql --last-failed"
    ]


def test_a_failed_test_that_ended_our_session(tests: Tests) -> None:
    """When a failed test ended every session its database is kept or not, and the test has no other error for it."""
    run = tests("""
    def test_ends(postgres_url, clean_database):
        with psycopg.connect(address(postgres_url), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        assert False
    """ + GOOD, "--pristine-keep-failed=1")  # fmt: skip
    assert "1 failed, 1 passed in" in run.output
    assert "it cannot be told: " in run.output


def test_a_test_that_each_worker_runs(tests: Tests) -> None:
    """What one worker found of a test is told, although another that ran it later found nothing."""
    run = tests("""
    import pathlib
    import time

    def test_takes(postgres_engine, worker_id):
        if worker_id == "gw0":
            global taken
            taken = postgres_engine.connect()
            pathlib.Path("taken").touch()
        else:
            while not pathlib.Path("taken").exists():
                time.sleep(0.05)
            time.sleep(0.5)

    def test_after(worker_id):
        pass  # the session goes on: what is open is not of its end
    """, "-p", "xdist", "--tx=2*popen", "--dist=each")  # fmt: skip
    assert item(run, "no connection").startswith("FAILED"), run.output


def test_no_terminal_with_workers(tests: Tests) -> None:
    """Without a terminal nothing is printed under pytest-xdist either, and strictness holds all the same."""
    run = tests(UNCLEAN, "-p", "xdist", "-n2", "-p", "no:terminal", "--pristine-strict")
    assert (run.status, run.output) == (1, "")


def test_fixtures_that_are_asked_for_late(tests: Tests) -> None:
    """A test that asks for an engine while it runs is named as any other, and told of when it fails."""
    run = tests(GOOD + """
    def test_late(request):
        do(request.getfixturevalue("postgres_engine"), "INSERT INTO users (name) VALUES ('bob')")
        assert False
    """)  # fmt: skip
    assert "pristine: the statement" in run.output
    assert "users +1, sequence users_id_seq" in run.output
    assert offenders(run) == [
        "test_users.py::test_late, without clean_database, left users 1 row, sequence users_id_seq"
    ]


def test_a_clean_database_of_the_project(tests: Tests) -> None:
    """A `clean_database` that owes nothing to ours restores nothing, and is not counted as if it did."""
    run = tests("""
    @pytest.fixture
    def clean_database(postgres_engine):
        yield
        do(postgres_engine, "DELETE FROM orders")
    """ + GOOD)  # fmt: skip
    assert offenders(run) == [
        "test_users.py::test_writes, without clean_database, left users 1 row, sequence users_id_seq"
    ]


def test_parameters_that_cannot_be_shown(tests: Tests) -> None:
    """A parameter whose repr fails costs its own text, and neither the failure's report nor the run."""
    run = tests("""
    class Number(int):
        def __repr__(self):
            raise RuntimeError("no repr")

    def test_fails(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(text("SELECT CAST(:number AS int)"), {"number": Number(3)})
        assert False

    def test_goes_on(postgres_engine):
        pass
    """)
    assert run.status == 1, run.output
    assert "SELECT CAST(%(number)s AS int)  (parameters that cannot be shown: RuntimeError)" in run.output
    assert "1 failed, 1 passed" in run.output


def test_many_parameters(tests: Tests) -> None:
    """Of a statement that was run with many sets of parameters the first ones are shown, and how many there were."""
    run = tests("""
    def test_fails(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(text("UPDATE users SET name = :n WHERE id = :i"), [{"n": "x", "i": 0}] * 5)
        assert False
    """)
    assert "5 sets, [{'n': 'x', 'i': 0}, {'n': 'x', 'i': 0}, {'n': 'x', 'i': 0}]" in run.output


@pytest.mark.parametrize(("strict", "status"), [((), 0), (("--pristine-strict",), 1)])
def test_a_checklist_that_cannot_be_made(tests: Tests, strict: tuple[str, ...], status: int) -> None:
    """A defect in what judges a run is told and breaks no run: JUnit's file is written; strictness does not pass it."""
    text = """
    from pytest_pristine.plugin import judging

    def broken(*_):
        raise LookupError("broken")

    judging.judge = broken
    """
    run = tests(text + GOOD, "--junitxml=junit.xml", *strict)
    assert run.status == status, run.output
    assert "the checklist is not whole: LookupError: broken" in block(run)
    assert "1 passed" in run.output
    assert "generated xml file" in run.output
