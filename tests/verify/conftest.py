"""The projects in which pytest is run: a shop with a database, and one that is guarded and needs no server."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

from tests.conftest import Home, Project, Run, clean_environment, lay_out

# In the order in which they are written; the controller of pytest-xdist needs cov no more than others.
PLAIN = ("-p", "no:randomly")
_REVISION = """
    from alembic import op

    revision, down_revision = "0001", None

    def upgrade():
        op.execute("CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL UNIQUE)")
        op.execute("CREATE TABLE orders (id serial PRIMARY KEY, who int REFERENCES users)")
        op.execute("INSERT INTO users (name) VALUES ('root'), ('guest'), ('nobody')")
"""
_HEAD = """
    import threading

    import psycopg
    import pytest
    from sqlalchemy import create_engine, text

    def do(engine, *statements):
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    def address(url):
        return url.set(drivername="postgresql").render_as_string(hide_password=False)

"""

Tests = Callable[..., Run]


@pytest.fixture
def shop(tmp_path: Path, shared_home: Home) -> Project:
    """A project in a directory of one name: those with the same history share a template."""
    project = lay_out(tmp_path / "shop", shared_home)
    project.write("migrations/versions/0001_users.py", _REVISION)
    return project


@pytest.fixture
def tests(shop: Project) -> Tests:
    """A function that runs tests, given as text, in the shop."""

    def run(text: str, *arguments: str, **environ: str) -> Run:
        shop.write("test_users.py", dedent(_HEAD) + dedent(text))
        return shop.run(*PLAIN, *arguments, **environ)

    return run


# Writes down what the process recorded, where a test can read it.
RECORDER = """
    import json
    import os

    import pytest

    from pytest_pristine.plugin import recording

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(item):
        yield
        if recording._TEST in item.stash:
            _write(item.config, item.stash[recording._TEST].as_dict())
        return True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(session):
        _write(session.config, recording.of_process(session.config).as_dict())

    def _write(config, record):
        with open(config.rootpath / "records.jsonl", "a") as file:
            file.write(json.dumps(record) + "\\n")
"""


@dataclass(frozen=True)
class Guarded:
    """A project without a database, and what its runs recorded.

    Attributes:
        project: The project.
    """

    project: Project

    @property
    def path(self) -> Path:
        """Its root directory."""
        return self.project.path

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        self.project.write(name, text)

    def run(self, *arguments: str, **environ: str) -> Run:
        """Run its tests."""
        (self.path / "records.jsonl").unlink(missing_ok=True)
        return self.project.run("-p", "recorder", "-p", "no:randomly", *arguments, **environ)

    def records(self) -> list[dict[str, object]]:
        """What the last run recorded, tests first."""
        lines = (self.path / "records.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def used(self) -> list[str]:
        """What its tests did with SQLite, in words."""
        return [use for record in self.records() if "test" in record for use in record["sqlite"]]  # type: ignore[attr-defined]

    def process(self) -> dict[str, list[str]]:
        """What its process recorded of itself."""
        return self.records()[-1]  # type: ignore[return-value]


@pytest.fixture
def guarded(tmp_path: Path) -> Guarded:
    """A project of which the directory `tests` is guarded."""
    root = tmp_path / "shop"
    environ = clean_environment(
        PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=str(root), PRISTINE_HOME=str(tmp_path / "home"), PYTHONHASHSEED="0"
    )
    project = Project(root, environ)
    project.write("pytest.ini", "[pytest]\npristine_sqlite_guard = tests\nfilterwarnings = error\n")
    project.write("recorder.py", RECORDER)
    return Guarded(project)
