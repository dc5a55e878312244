"""The project that dies: a dozen tests that take a while, and a mark of whatever it is doing."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Home, Project, lay_out

# Variables that its runs read: where the marks go, and for how many seconds each test sleeps.
MARKS, PACE = "CRASHES_MARKS", "CRASHES_PACE"
TESTS = 12

_CONFTEST = """
    import os
    from pathlib import Path

    import pytest

    STARTED = []

    def mark(what):
        path = Path(os.environ["CRASHES_MARKS"]) / str(os.getpid())
        path.with_suffix(".new").write_text(what)
        path.with_suffix(".new").replace(path)

    def pytest_configure():
        mark("collection")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems():
        mark("finding the server")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup():
        mark("restore" if STARTED else "making databases")
        STARTED.append(True)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call():
        mark("test")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(nextitem):
        mark("restore" if nextitem is not None else "end")

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish():
        mark("end")
"""
_TESTS = """
    import os
    import time

    import pytest
    from sqlalchemy import text

    PACE = float(os.environ["CRASHES_PACE"])
    COUNT = text("SELECT count(*) FROM users")
    INSERT = text("INSERT INTO users (name) VALUES (:name)")

    def write(engine):
        with engine.begin() as connection:
            assert connection.execute(COUNT).scalar_one() == 1
            connection.execute(INSERT, [{"name": "ada"}, {"name": "eve"}])
        time.sleep(PACE)
        with engine.begin() as connection:
            assert connection.execute(COUNT).scalar_one() == 3

    @pytest.mark.parametrize("number", range(5))
    def test_before(postgres_engine, clean_database, number):
        write(postgres_engine)

    def test_schema(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(text("ALTER TABLE users ADD COLUMN age integer"))
        write(postgres_engine)

    @pytest.mark.parametrize("number", range(6))
    def test_after(postgres_engine, clean_database, number):
        write(postgres_engine)
"""


def make(path: Path, home: Home) -> Project:
    """Make the project."""
    project = lay_out(path, home)
    project.write("conftest.py", _CONFTEST)
    project.write("test_users.py", _TESTS)
    return project
