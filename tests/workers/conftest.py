"""What tests of workers share: a project that says which database each test had."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg.rows import dict_row

from pytest_pristine.postgres import marks
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.servers import address
from tests.conftest import Home, Project, lay_out

_CONFTEST = """
    import os
    from pathlib import Path

    import pytest
    from sqlalchemy import text

    @pytest.fixture
    def note(postgres_engine, clean_database, request, worker_id="main"):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
        with postgres_engine.begin() as connection:
            assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 1
            connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
            name = connection.execute(text("SELECT current_database()")).scalar_one()
        with Path("seen").open("a") as seen:
            seen.write(f"{worker} {os.getpid()} {name}\\n")
"""
_MODULE = """
    import time

    import pytest

    @pytest.mark.parametrize("number", range(6))
    @pytest.mark.xdist_group("{name}")
    def test_{name}(note, number):
        time.sleep(0.05)
"""


@dataclass(frozen=True)
class Crew:
    """A project, and what its runs left.

    Attributes:
        project: The project: eighteen tests in three files.
        home: Its home, where nothing else is.
    """

    project: Project
    home: Home

    def seen(self) -> list[tuple[str, str, str]]:
        """Worker, process and database of each test that ran since it was asked last."""
        path = self.project.path / "seen"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [(worker, pid, name) for worker, pid, name in map(str.split, lines)]

    def marks(self) -> list[Mark]:
        """The marks of all databases on its server, as a client reads them that owes nothing to the product."""
        url = address.read(self.home.server())
        if url is None:
            return []
        query = "SELECT shobj_description(oid, 'pg_database') AS comment FROM pg_database ORDER BY oid"
        host = url.query["host"]
        with psycopg.connect(host=str(host), port=url.port, user=url.username, dbname="postgres") as connection:
            rows = connection.cursor(row_factory=dict_row).execute(query).fetchall()
        return [mark for row in rows if (mark := marks.read(row["comment"])) is not None]

    def left(self) -> list[str]:
        """The kinds of what is on its server, but for templates and the copies that wait for the next run."""
        return [mark.kind for mark in self.marks() if mark.kind not in (marks.TEMPLATE, marks.SPARE)]


def form(path: Path, home: Home) -> Crew:
    """Lay the project out."""
    project = lay_out(path, home)
    (path / "test_users.py").unlink()
    project.write("conftest.py", _CONFTEST)
    for name in ("one", "two", "three"):
        project.write(f"test_{name}.py", _MODULE.format(name=name))
    return Crew(project, home)


@pytest.fixture
def crew(tmp_path: Path, home: Home) -> Crew:
    """The project, in a home of its own."""
    return form(tmp_path, home)


@pytest.fixture
def shared_crew(tmp_path: Path, shared_home: Home) -> Crew:
    """The project, in the home that tests share."""
    return form(tmp_path, shared_home)
