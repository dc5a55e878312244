"""The project in which pytest is run, with a table that has rows and one that has none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tests.conftest import Home, Project, Run, lay_out

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
