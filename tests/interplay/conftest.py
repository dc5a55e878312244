"""A project that uses all of our fixtures at once: layers of modules, an application of its own, tests with loops."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import Home, Project, Run, lay_out

PYTEST_INI = """
    [pytest]
    pythonpath = .
    pristine_export = DATABASE_URL
    filterwarnings = error
"""
APP = """
    import os

    from sqlalchemy import create_engine, text

    engine = create_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)

    def names():
        with engine.connect() as connection:
            return read(connection)

    def sign_up(name):
        with engine.begin() as connection:
            write(connection, name)

    READ = text("SELECT string_agg(name, ' ' ORDER BY id) FROM users")
    WRITE = text("INSERT INTO users (name) VALUES (:name)")

    def read(connection):
        return connection.execute(READ).scalar_one()

    def write(connection, name):
        connection.execute(WRITE, {"name": name})
"""
LOADERS = """
    import functools
    from sqlalchemy import text

    def load(name):
        return functools.partial(_load, name)

    def _load(name, engine):
        with open("loaded", "a") as file:
            file.write(name + " ")
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES (:name)"), {"name": name})
"""
BASELINE = """
import pytest
from loaders import load

@pytest.fixture(scope="{scope}")
def postgres_baseline(postgres_baseline):
    with postgres_baseline.layer(load("{name}")) as baseline:
        yield baseline
"""


@pytest.fixture
def project(tmp_path: Path, shared_home: Home) -> Project:
    """A project whose application is told of the database, and has a layer for the whole session."""
    made = lay_out(tmp_path / "shop", shared_home)
    (made.path / "test_users.py").unlink()
    made.write("pytest.ini", PYTEST_INI)
    made.write("app.py", APP)
    made.write("loaders.py", LOADERS)
    made.write("loaded", "")
    made.write("conftest.py", BASELINE.format(scope="session", name="s"))
    return made


def outcomes(done: Run) -> dict[str, str]:
    """The outcome of each test, as -v prints them."""
    return dict(re.findall(r"^(\S+::\S+) (PASSED|FAILED|ERROR)", done.output, re.MULTILINE))
