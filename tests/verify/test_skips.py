"""No test skipped for want of a database: which reasons count, and that every skip is heard of."""

from __future__ import annotations

import pytest

from pytest_pristine.verify.skips import is_for_want_of_a_database, judge
from tests.conftest import Project

_CONFTEST = """
    import os
    import pytest
    from pytest_pristine.plugin import skipping
    from pytest_pristine.verify import skips

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(session):
        if "PYTEST_XDIST_WORKER" not in os.environ:
            item = skips.judge(skipping.skipped(session.config))
            print("ITEM", item.state, item.found, *item.offenders, *item.remedy, sep=" | ")
"""


@pytest.mark.parametrize(
    "reason",
    [
        "Postgres not available",
        "PostgreSQL is not running",
        "PostgreSQL server not reachable on localhost:5432",
        "postgres isn't installed",
        "Postgres isn\N{RIGHT SINGLE QUOTATION MARK}t available here",
        "requires a database",
        "Requires PostgreSQL",
        "requires a running Postgres instance",
        "needs postgres",
        "needs a real DB",
        "TEST_DATABASE_URL not set",
        "DATABASE_URL is not set",
        "set TEST_DATABASE_URL to run these tests",
        "Set DATABASE_URL for integration tests",
        "environment variable POSTGRES_DSN is missing",
        "POSTGRES_HOST not configured",
        "PG_DSN unset",
        "no DB_HOST",
        "could not import 'psycopg2': No module named 'psycopg2'",
        "could not import 'asyncpg': No module named 'asyncpg'",
        "could not import 'psycopg': No module named 'psycopg'",
        "psycopg2 not installed",
        "psycopg2-binary is required",
        "no docker",
        "Docker is not available",
        "docker not found",
        "Docker daemon is not running",
        "cannot connect to the Docker daemon",
        "testcontainers not installed",
        "database tests disabled",
        "database is unavailable",
        "no database configured",
        "No database connection",
        "DB unavailable: connection refused",
        "Could not connect to database: connection refused",
        "can't connect to postgres",
        "couldn't connect to the db",
        "PostgreSQL tests only run when POSTGRES_URL is defined",
        "pg_ctl not found",
        "pg_isready missing",
        "Skipped: without a database there is nothing to test",
        "test database offline",
        "sqlite is used because postgres is not available",
        "skipping integration tests: no Postgres",
        "need --pg-url",
        "--run-db option not given",
    ],
)
def test_reasons_that_count(reason: str) -> None:
    """A reason that names a database, or what leads to one, and says that it is missing counts."""
    assert is_for_want_of_a_database(reason)


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "unconditional skip",
        "not supported on Postgres",
        "Not supported by PostgreSQL",
        "PostgreSQL doesn't support this",
        "Postgres does not support unsigned integers",
        "database does not support window functions",
        "SQLite only feature",
        "sqlite-only",
        "MySQL only",
        "only for SQLite",
        "only relevant on postgres",
        "flaky on CI",
        "flaky with postgres, no idea why",
        "needs network",
        "requires network access",
        "requires Python 3.12",
        "requires PostgreSQL >= 15",
        "requires postgres 16",
        "not implemented for the database backend",
        "Windows is not supported",
        "no GPU available",
        "requires redis",
        "Redis database not available",
        "MySQL database not available",
        "could not import 'numpy': No module named 'numpy'",
        "could not import 'pymongo': No module named 'pymongo'",
        "slow database test, use --runslow",
        "not needed for this database",
        "need --runslow option to run",
        "debugging only",
        "no feedback",
        "needs the time zone database",
        "S3 container not running",
        "the PostgreSQL 18 that is tested has no hstore",
        "API_KEY not set",
    ],
)
def test_reasons_that_do_not(reason: str) -> None:
    """A reason that is about something else does not, though it may name a database."""
    assert not is_for_want_of_a_database(reason)


def test_no_skips() -> None:
    """A run without skips is good, and so is one with other skips, which are counted."""
    assert (judge([]).state, judge([]).found) == ("passed", "none skipped")
    item = judge([("test_a.py::test_b", "flaky on CI")])
    assert (item.key, item.title, item.state) == ("skips", "no test skipped for want of a database", "passed")
    assert item.found == "1 skipped for other reasons"


def test_offenders() -> None:
    """Each skip that counts is named, once, with the first line of its reason."""
    item = judge(
        [("t.py::a", "Skipped: no docker\nmore"), ("t.py::a", "Skipped: no docker\nmore"), ("t.py::b", "slow")]
    )
    assert (item.state, item.found, item.offenders) == ("failed", "1 skipped for want of one", ("t.py::a: no docker",))
    assert item.remedy


@pytest.fixture
def skipping(project: Project) -> Project:
    """A project with a test for each way to be skipped."""
    (project.path / "test_users.py").unlink()
    project.write("conftest.py", _CONFTEST)
    project.write(
        "test_tests.py",
        """
        import pytest

        @pytest.mark.skip(reason="no docker")
        def test_mark(): pass

        @pytest.mark.skipif(True, reason="TEST_DATABASE_URL not set")
        def test_condition(): pass

        @pytest.fixture
        def db(): pytest.skip("Postgres not available")

        def test_fixture(db): pass

        def test_inside(): pytest.skip("requires a database")

        @pytest.mark.xfail(reason="no database")
        def test_expected(): assert False

        def test_runs(): pass
        """,
    )
    project.write("test_module.py", "import pytest\npytest.skip('database tests disabled', allow_module_level=True)\n")
    project.write("test_driver.py", "import pytest\npytest.importorskip('psycopg2cffi')\n")
    return project


@pytest.mark.parametrize("arguments", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "workers"])
def test_every_way_to_be_skipped(skipping: Project, arguments: tuple[str, ...]) -> None:
    """Marks, conditions, fixtures, tests and modules turn it red; a test that is expected to fail does not."""
    run = skipping.run("-s", *arguments)
    assert run.status == 0, run.output
    (line,) = [line for line in run.output.splitlines() if "ITEM | " in line]
    assert "ITEM | failed | 6 skipped for want of one | " in line
    for said in (
        "test_tests.py::test_mark: no docker", "test_tests.py::test_condition: TEST_DATABASE_URL not set",
        "test_tests.py::test_fixture: Postgres not available", "test_tests.py::test_inside: requires a database",
        "test_module.py: database tests disabled", "test_driver.py: could not import 'psycopg2cffi'",
    ):  # fmt: skip
        assert said in line
    assert "test_expected" not in line


@pytest.mark.parametrize("arguments", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "workers"])
def test_other_skips(project: Project, arguments: tuple[str, ...]) -> None:
    """Skips for other reasons leave it good."""
    project.write("conftest.py", _CONFTEST)
    project.write("test_users.py", "import pytest\n\n@pytest.mark.skip(reason='flaky')\ndef test_it(): pass\n")
    run = project.run("-s", *arguments)
    assert "ITEM | passed | 1 skipped for other reasons" in run.output
