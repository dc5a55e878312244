"""Runs beside each other: of one checkout, of two branches, of two projects, on a server of ours and on another."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from pytest_pristine.postgres import databases, marks
from pytest_pristine.postgres.connections import connect
from pytest_pristine.postgres.names import label
from tests.conftest import Home, Project, Server, finish, new_database
from tests.workers.conftest import Crew, form

_LOG = "    open({path!r}, 'a').write('x')\n"
_BRANCH = """
    from alembic import op

    revision, down_revision = "0002", "0001"

    def upgrade():
        op.execute("ALTER TABLE users ADD COLUMN branch text DEFAULT 'yes'")
"""


def logged(crew: Crew) -> Path:
    """Have a project note when its migrations are run; gives the file in which it does."""
    path, first = crew.project.path / "migrated", crew.project.path / "migrations/versions/0001_users.py"
    first.write_text(first.read_text() + _LOG.format(path=str(path)))
    return path


@pytest.fixture(params=["ours", "external"])
def where(request: pytest.FixtureRequest, server: Server) -> Iterator[URL | None]:
    """Where the runs find Postgres: nowhere, so that it is a server of ours, or at a database that all of them name."""
    if request.param == "ours":
        yield None
        return
    with new_database(server) as url:
        yield url


def start(projects: list[Project], where: URL | None) -> list[str]:
    """Run all of them at once, and give what they wrote; each must pass."""
    variables = {} if where is None else {"TEST_DATABASE_URL": where.render_as_string(hide_password=False)}
    runs = [finish(process) for process in [project.start("-q", **variables) for project in projects]]
    for run in runs:
        assert run.status == 0, run.output
        assert "were ended" not in run.output
    return [run.output for run in runs]


def left(home: Home, crew: Crew, where: URL | None) -> list[str]:
    """What the runs left, but for templates, spares and the database that was named."""
    if where is None:
        return crew.left()
    with connect(where.set(database="postgres"), "test") as connection:
        lasting = (marks.TEMPLATE, marks.SPARE, marks.TARGET)
        # Other tests may have left what is theirs on the server.
        own = [each for each in databases.ours(connection) if each.mark.project == label(crew.project.path.name)]
        assert own
        return [each.name for each in own if each.mark.kind not in lasting]


def test_eight_runs_of_one_checkout(crew: Crew, where: URL | None) -> None:
    """Each has a database of its own, the migrations are run once, and nothing is left."""
    migrated = logged(crew)
    start([crew.project] * 8, where)
    seen = crew.seen()
    assert len(seen) == 8 * 18
    assert len({pid for _, pid, _ in seen}) == len({database for _, _, database in seen}) == 8
    assert migrated.read_text() == "x"
    if where is not None:
        assert left(crew.home, crew, where) == []


def test_branches_and_projects(tmp_path: Path, home: Home, where: URL | None) -> None:
    """Two checkouts of one project on different branches, and another project, have the schema that is theirs."""
    main, other = form(tmp_path / "main/shop", home), form(tmp_path / "other", home)
    branch = Crew(Project(tmp_path / "branch/shop", main.project.environ), home)
    shutil.copytree(main.project.path, branch.project.path)
    branch.project.write("migrations/versions/0002_branch.py", _BRANCH)
    other.project.write("migrations/versions/0002_other.py", _BRANCH.replace("branch", "other"))
    for crew, column in ((main, None), (branch, "branch"), (other, "other")):
        wanted = ["id", "name"] + ([column] if column else [])
        crew.project.write("test_schema.py", f"""
            from sqlalchemy import inspect

            def test_columns(postgres_engine, note):
                assert [column["name"] for column in inspect(postgres_engine).get_columns("users")] == {wanted}
            """)  # fmt: skip
    files = [logged(crew) for crew in (main, branch, other)]
    start([crew.project for crew in (main, branch, other)] * 2, where)
    assert [file.read_text() for file in files] == ["x", "x", "x"]
    names = [database for crew in (main, branch, other) for _, _, database in crew.seen()]
    assert len(set(names)) == 6
