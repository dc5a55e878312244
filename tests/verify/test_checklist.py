"""The checklist at the end of a run: each item when it holds, and when it must turn red."""

from __future__ import annotations

import pytest

from tests.conftest import CALLED, Project, Run
from tests.verify.conftest import PLAIN, Tests

GOOD = """
    def test_writes(postgres_engine, clean_database):
        do(postgres_engine, "INSERT INTO users (name) VALUES ('ada')")
"""
UNCLEAN = """
    def test_unclean(postgres_engine):
        do(postgres_engine, "INSERT INTO users (name) VALUES ('ada')")
"""


def block(run: Run) -> list[str]:
    """The lines of the summary."""
    lines = run.output.splitlines()
    heads = [number for number, line in enumerate(lines) if line.strip("= ") == "pristine" and line.startswith("=")]
    if not heads:
        return []
    (head,) = heads
    rest = lines[head + 1 :]
    ends = (number for number, line in enumerate(rest) if line.startswith(("=", "!")) or " passed in " in line)
    return rest[: next(ends, len(rest))]


def item(run: Run, title: str) -> str:
    """The line of an item."""
    (line,) = (line for line in block(run) if line[10:].startswith(title))
    return line


def test_all_that_holds(tests: Tests) -> None:
    """What was looked at and holds is told with the evidence for it, a line each."""
    run = tests(GOOD)
    assert run.status == 0, run.output
    assert item(run, "real Postgres") == f"ok        real Postgres: {CALLED}"
    assert item(run, "database pristine") == (
        "ok        database pristine after every test: 1 test restored, 1 of them compared with the baseline, "
        "and in the end 3 tables, all sequences and the catalogue"
    )
    assert item(run, "no connection") == "ok        no connection left open or in a transaction: none"


def test_nothing_without_our_fixtures(tests: Tests) -> None:
    """A run that uses no fixture of ours says nothing of us, whatever is asked for."""
    run = tests("def test_plain(): pass", "-v", "--pristine-strict")
    assert run.status == 0, run.output
    assert [line for line in run.output.splitlines() if "pristine" in line and not line.startswith("plugins:")] == []


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan"])
def test_nothing_of_a_run_without_tests(tests: Tests, option: str) -> None:
    """A run that runs no test has nothing to prove."""
    assert block(tests(GOOD, option)) == []


def test_quiet(tests: Tests) -> None:
    """With -q the header and all that holds are left out; what does not hold is told."""
    assert "pristine" not in tests(GOOD, "-q").output
    run = tests(UNCLEAN, "-q")
    assert "\npristine: " not in run.output
    assert [line.split()[0] for line in block(run)] == ["FAILED", "test_users.py::test_unclean,", "to", "to"]


def test_verbose(tests: Tests) -> None:
    """As a rule three offenders of an item are named; with -v all are."""
    text = "\n".join(UNCLEAN.replace("unclean", f"unclean{number}").replace("ada", f"ada{number}") + GOOD.replace(
        "writes", f"writes{number}").replace("'ada'", f"'bob{number}'") for number in range(5))  # fmt: skip
    run = tests(text)
    assert item(run, "database pristine").endswith("5 times something was left")
    assert sum("without clean_database" in line for line in block(run)) == 3
    assert "          and 2 more, which -v shows" in block(run)
    assert sum("without clean_database" in line for line in block(tests(text, "-v"))) == 5


def test_no_header(tests: Tests) -> None:
    """With --no-header there is no line of ours before the tests."""
    run = tests(GOOD, "--no-header")
    assert "\npristine: " not in run.output
    assert item(run, "real Postgres")


def test_no_terminal(tests: Tests) -> None:
    """Without a terminal nothing is printed, and strictness holds all the same."""
    run = tests(UNCLEAN, "-p", "no:terminal", "--pristine-strict")
    assert (run.status, run.output) == (1, "")


def test_strict(tests: Tests) -> None:
    """With --pristine-strict what is not proven fails a run whose tests passed; without it, it does not."""
    assert tests(UNCLEAN).status == 0
    run = tests(UNCLEAN, "--pristine-strict")
    assert run.status == 1
    assert "1 passed" in run.output
    assert any(line.startswith("pristine_strict: ") for line in block(run))


def test_strict_and_quiet(tests: Tests) -> None:
    """A strict run tells what it is not proven of and what to do, with -q too."""
    run = tests(GOOD, "--pristine-strict", "-q")
    assert run.status == 1
    (unproven, remedy, note) = block(run)
    assert unproven == "unproven  coverage measured, with branches: it was not measured"
    assert remedy.startswith("          to do: pytest --cov=")
    assert note == "pristine_strict: 1 of 7 items are not proven"


def test_strict_leaves_other_ends_alone(tests: Tests) -> None:
    """A run that ended in another way than by passing keeps its exit status."""
    run = tests(UNCLEAN + "\n        pytest.exit('enough', returncode=7)", "--pristine-strict")
    assert run.status == 7, run.output


def test_an_engine_that_is_no_postgres(tests: Tests) -> None:
    """A test whose `postgres_engine` a project has replaced by one of SQLite is named, and Postgres was not real."""
    run = tests("""
    @pytest.fixture(scope="session")
    def postgres_engine():
        return create_engine("sqlite://")

    def test_on_something_else(postgres_engine):
        pass
    """)
    assert item(run, "real Postgres").startswith("FAILED    real Postgres: 1 fixture of ours replaced")
    assert "          test_users.py::test_on_something_else: postgres_engine is sqlite" in block(run)


def test_a_test_that_does_not_clean(tests: Tests) -> None:
    """What a test wrote that did not ask for `clean_database` is found by the next test, and at the end."""
    first = tests(UNCLEAN + GOOD.replace("ada", "bob"))
    assert "          test_users.py::test_unclean, without clean_database, left users 1 row, sequence users_id_seq" in (
        block(first)
    )
    last = tests(GOOD + UNCLEAN)
    assert item(last, "database pristine").startswith("FAILED")
    assert any(line.strip().startswith("test_users.py::test_unclean, without clean_database") for line in block(last))


def test_somebody_who_goes_on(tests: Tests) -> None:
    """A thread that writes after its test was undone is found, and the test named."""
    run = tests("""
    go = threading.Event()

    def test_starts(postgres_engine, clean_database):
        def late():
            go.wait(30)
            do(postgres_engine, "INSERT INTO users (name) VALUES ('late')")
        global thread
        thread = threading.Thread(target=late)
        thread.start()

    def test_between():
        go.set()
        thread.join()

    def test_after(postgres_engine, clean_database):
        pass
    """)
    assert item(run, "database pristine").startswith("FAILED")
    assert (
        "          something that went on after test_users.py::test_starts left users 1 row, sequence users_id_seq"
        in (block(run))
    )


def test_a_restore_that_was_blocked(tests: Tests) -> None:
    """A test that could not be undone because of a lock is named."""
    run = tests("""
    def test_locks(postgres_engine, postgres_url, clean_database):
        global other
        other = psycopg.connect(address(postgres_url))
        other.execute("LOCK TABLE users")
    """, "--pristine-restore-timeout=0.2")  # fmt: skip
    assert run.status == 1
    assert item(run, "database pristine").startswith("FAILED")
    assert any(
        line.strip().startswith("test_users.py::test_locks could not be undone: a lock held by") for line in block(run)
    )


def test_connections_of_the_engine(tests: Tests) -> None:
    """A connection that a test takes from the engine and does not give back is told, with the place and the test."""
    run = tests("""
    def test_takes(postgres_engine, clean_database):
        global taken
        taken = postgres_engine.connect()

    def test_after(postgres_engine, clean_database):
        pass
    """)
    assert item(run, "no connection") == "FAILED    no connection left open or in a transaction: 1 left"
    (offender,) = (line.strip() for line in block(run) if "test_takes" in line)
    assert offender.startswith("test_users.py::test_takes left a connection of postgres_engine, taken at ")
    assert offender.endswith("/shop/test_users.py:19")


def test_connections_of_others(tests: Tests) -> None:
    """A connection that a test opens itself, and one in which it leaves a transaction, are told with their tests."""
    run = tests("""
    kept = []

    def test_opens(postgres_url, clean_database):
        kept.append(psycopg.connect(address(postgres_url), autocommit=True))
        kept[0].execute("SELECT 'opened'")

    def test_begins(postgres_url, clean_database):
        kept.append(psycopg.connect(address(postgres_url)))
        kept[1].execute("SELECT 'begun'")

    def test_closes(postgres_url, clean_database):
        psycopg.connect(address(postgres_url)).close()
    """)
    opened, begun = (line.strip() for line in block(run) if line.strip().startswith("test_users.py"))
    assert opened.startswith("test_users.py::test_opens left a connection open: pid ")
    assert opened.endswith("last query: SELECT 'opened'")
    assert begun.startswith("test_users.py::test_begins left a connection in a transaction: pid ")
    assert begun.endswith("last query: SELECT 'begun'")


def test_a_pool_of_the_application_is_not_left(tests: Tests) -> None:
    """What an engine of the application keeps in its pool is not left; what it has out is."""
    run = tests("""
    engines = []

    def test_pools(postgres_url, clean_database):
        engines.append(create_engine(postgres_url))
        do(engines[0], "SELECT 1")
    """)
    assert item(run, "no connection").startswith("ok"), run.output
    run = tests("""
    left = []

    def test_takes(postgres_url, clean_database):
        left.append(create_engine(postgres_url).connect())
        left[0].execute(text("SELECT 1"))
    """)
    assert item(run, "no connection").startswith("FAILED")


def test_a_revision_that_is_no_head_any_more(tests: Tests, shop: Project) -> None:
    """A project that takes its database back after the migrations is told so."""
    shop.write("conftest.py", """
        import pytest
        from sqlalchemy import create_engine, text

        @pytest.fixture(scope="session")
        def apply_migrations(apply_migrations):
            engine = create_engine(apply_migrations.url)
            with engine.begin() as connection:
                connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
            engine.dispose()
            return apply_migrations
    """)  # fmt: skip
    run = tests(GOOD)
    assert item(run, "migrations at head") == (
        "FAILED    migrations at head, models and migrations agree: at 0000, which is not the head: 0001"
    )


def test_a_connection_of_a_fixture_is_not_left(tests: Tests) -> None:
    """A fixture of the session may hold a connection as long as it lives."""
    run = tests("""
    @pytest.fixture(scope="session")
    def lasting(postgres_engine):
        with postgres_engine.connect() as connection:
            yield connection

    def test_uses(lasting, clean_database):
        lasting.execute(text("SELECT 1"))
    """)
    assert item(run, "no connection").startswith("ok"), run.output


def test_what_a_test_leaves_behind(tests: Tests) -> None:
    """A session that a test leaves with an advisory lock counts as left."""
    run = tests("""
    def test_locks(postgres_url, clean_database):
        global other
        other = psycopg.connect(address(postgres_url), autocommit=True)
        other.execute("SELECT pg_advisory_lock(1)")
    """)
    (offender,) = (line.strip() for line in block(run) if line.strip().startswith("test_users.py"))
    assert offender.startswith("test_users.py::test_locks left an advisory lock of the session pid ")


def test_workers(tests: Tests) -> None:
    """What workers of pytest-xdist find is told once, by the process that directs them."""
    run = tests(GOOD + UNCLEAN.replace("ada", "bob"), "-p", "xdist", "-n2", "--dist=load")
    assert item(run, "real Postgres").startswith("ok")
    assert item(run, "database pristine").startswith("FAILED")
    assert any("test_unclean, without clean_database, left users 1 row" in line for line in block(run))


def test_workers_that_hold(tests: Tests) -> None:
    """What was proven by several workers is summed up."""
    run = tests(GOOD + GOOD.replace("writes", "more"), "-p", "xdist", "-n2", "--dist=each")
    assert item(run, "database pristine").startswith(
        "ok        database pristine after every test: 2 tests restored"
    ), run.output


def test_a_run_that_is_stopped_is_proven(tests: Tests) -> None:
    """A run that ends at its first failure is proven for what it did."""
    run = tests(GOOD + "        assert False\n" + UNCLEAN, "-x")
    assert run.status == 1
    assert item(run, "database pristine").startswith("ok")


def test_a_run_that_is_interrupted(tests: Tests) -> None:
    """A run that somebody interrupts is proven for what it did, but for what its fixtures have open still."""
    run = tests(GOOD + "        raise KeyboardInterrupt\n")
    assert run.status == pytest.ExitCode.INTERRUPTED
    assert item(run, "database pristine").startswith("ok")
    assert item(run, "no connection") == (
        "unproven  no connection left open or in a transaction: the run was stopped, and what was open in the end was "
        "not looked at"
    )


def test_a_proof_that_is_switched_off(tests: Tests, shop: Project) -> None:
    """Without proofs the item says that nothing was proven, and what is needed; it is no claim."""
    run = tests(GOOD, "--pristine-proof=off")
    assert item(run, "database pristine") == (
        "unproven  database pristine after every test: 1 test restored, and not proven: proofs are switched off, "
        "or the run was ended"
    )
    assert shop.run(*PLAIN, "--pristine-proof=off", "--pristine-strict").status == 1
