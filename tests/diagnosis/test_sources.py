"""Every source with its verdict."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Project, Server
from tests.diagnosis.conftest import PASSWORD, doctor


def test_the_embedded_server(project: Project) -> None:
    """Every source is asked, in the order of a run; one that is not there does no harm while another is."""
    report = doctor(project, PRISTINE_POSTGRES_VERSION="")
    found = report.of("sources")
    assert [finding["subject"] for finding in found] == ["url", "up", "embedded", "local", "docker", "a run uses"]
    assert {finding["level"] for finding in found} <= {"ok", "warning"}
    assert report.tell("sources", "url") == ("ok", "none: no URL is given", [])
    assert report.tell("sources", "up") == ("ok", "none: no server was started with pristine up", [])
    assert report.one("sources", "embedded")["found"].startswith("PostgreSQL 18 in ")
    assert report.tell("sources", "a run uses") == ("ok", "embedded, because there is none of url, up", [])


def test_a_url_that_answers(project: Project, server: Server) -> None:
    """A database named for the run is what the run uses."""
    report = doctor(project, TEST_DATABASE_URL=server.url.render_as_string(hide_password=False))
    level, found, _ = report.tell("sources", "url")
    assert level == "ok"
    assert found == f"a server at postgresql://tester:***@127.0.0.1:{server.url.port}/postgres (TEST_DATABASE_URL)"
    assert report.tell("sources", "a run uses") == ("ok", "url", [])


def test_a_url_that_does_not_answer(project: Project) -> None:
    """A database named for the run that does not answer has failed, whatever else there is."""
    report = doctor(project, TEST_DATABASE_URL=f"postgresql://u:{PASSWORD}@localhost:1/d")
    finding = report.one("sources", "url")
    assert finding["level"] == "failed"
    assert finding["sought"] == "the Postgres at postgresql://u:***@localhost:1/d (from TEST_DATABASE_URL)"
    assert finding["remedy"][0] == "start a server there: pristine up --port 1 --user u --password … --db d"
    choice = report.one("sources", "a run uses")
    assert choice["level"] == "failed"
    assert choice["found"] == "none: url was named, cannot be used, and no other is tried"


def test_a_default_that_does_not_answer(project: Project) -> None:
    """The project's default that does not answer is passed over, with a warning."""
    project.write("pytest.ini", f"[pytest]\npristine_url = postgresql://u:{PASSWORD}@localhost:1/d\n")
    report = doctor(project, PRISTINE_POSTGRES_VERSION="")
    assert report.tell("sources", "url") == (
        "warning",
        "passed over: nothing answers at postgresql://u:***@localhost:1/d (pristine_url in the ini file)",
        ["start a server there: pristine up --port 1 --user u --password … --db d"],
    )
    assert report.one("sources", "a run uses")["found"] == "embedded, because there is none of url, up"
    assert report.status == 0


def test_no_server_at_all(project: Project) -> None:
    """Where no source has a server the run would fail, and what would mend it is listed."""
    report = doctor(project, PRISTINE_POSTGRES_VERSION="99", PATH="/nonexistent", DOCKER_HOST="tcp://127.0.0.1:1")
    assert report.one("sources", "needed")["found"] == ("a Postgres server of version 99 (PRISTINE_POSTGRES_VERSION)")
    level, found, remedy = report.tell("sources", "a run uses")
    assert (level, found) == ("failed", "none: no source has a server")
    assert "up: pristine up" in remedy
    # What is missing is the choice's to tell: a source that has other versions is none that was passed over.
    assert report.one("sources", "embedded")["level"] == "ok"
    assert report.one("sources", "embedded")["found"].startswith("none: PostgreSQL 18 is not version 99")
    assert report.one("sources", "docker")["found"].startswith("none: no container engine answers: DOCKER_HOST")


def test_one_source_alone(project: Project) -> None:
    """A source that was asked for and has no server has failed, although others have one."""
    report = doctor(project, PRISTINE_SERVER="up")
    assert report.tell("sources", "a run uses") == (
        "failed", "none: PRISTINE_SERVER asks for up alone", ["up: pristine up"],
    )  # fmt: skip


def test_programs_that_are_not_there(project: Project, tmp_path: Path) -> None:
    """A directory of programs that holds none has failed."""
    report = doctor(project, PRISTINE_POSTGRES_BIN=str(tmp_path / "none"))
    finding = report.one("sources", "local")
    assert (finding["level"], finding["found"]) == ("failed", "no such directory")


def test_extensions_are_needed(project: Project) -> None:
    """What the migrations create is told, and decides which server is fit."""
    project.write(
        "migrations/versions/0002_more.py",
        """
        from alembic import op
        revision, down_revision = "0002", "0001"
        def upgrade():
            op.execute("CREATE EXTENSION nosuch")
        """,
    )
    report = doctor(project, DOCKER_HOST="tcp://127.0.0.1:1")
    assert "the extension nosuch (for revision 0002 in migrations" in report.one("sources", "needed")["found"]
    assert report.one("sources", "embedded")["level"] == "warning"
    assert report.one("sources", "a run uses")["level"] == "failed"
