"""Alembic's configuration and history."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_pristine.diagnosis import history
from tests.conftest import Project
from tests.diagnosis.conftest import doctor

_REVISION = """
    revision, down_revision = {revision!r}, {before!r}

    def upgrade():
        pass
"""


def test_all_is_well(project: Project) -> None:
    """Configuration, script directory, head and env.py are named."""
    report = doctor(project)
    assert [(finding["level"], finding["subject"], finding["found"]) for finding in report.of("history")] == [
        ("ok", "configuration", "alembic.ini"),
        ("ok", "script directory", "migrations"),
        ("ok", "heads", "0001, of 1 revision"),
        ("ok", "env.py", "migrations/env.py"),
    ]


def test_several_heads(project: Project) -> None:
    """Two heads have failed, with the line that merges them; they are fine where the target is `heads`."""
    for revision in ("0002", "0003"):
        project.write(f"migrations/versions/{revision}.py", _REVISION.format(revision=revision, before="0001"))
    report = doctor(project)
    assert report.tell("history", "heads") == (
        "failed",
        "2: 0002, 0003, of 3 revisions",
        ['alembic -c alembic.ini merge heads -m "…"', "or set pristine_alembic_target = heads in the ini file"],
    )
    assert report.status == 1
    report = doctor(project, PRISTINE_ALEMBIC_TARGET="heads")
    assert report.tell("history", "heads") == ("ok", "2: 0002, 0003, of 3 revisions; the target is heads", [])


def test_an_empty_history(bare: Callable[..., Project]) -> None:
    """A history without revisions is warned of."""
    project = bare("migrations/versions/0001_users.py")
    assert doctor(project).tell("history", "heads") == (
        "warning", "none: the history is empty", ['alembic -c alembic.ini revision -m "…"'],
    )  # fmt: skip


def test_a_revision_that_cannot_be_imported(project: Project) -> None:
    """A revision that raises when it is imported has failed, with its line."""
    project.write(
        "migrations/versions/0002.py", _REVISION.format(revision="0002", before="0001") + "\n    import nosuch\n"
    )
    level, found, remedy = doctor(project).tell("history", "history")
    assert level == "failed"
    assert found.startswith("Alembic cannot read it: ")
    assert "No module named 'nosuch'" in found
    assert remedy == ["mend the revision it names", "alembic -c alembic.ini history shows it too"]


def test_a_parent_that_is_missing(project: Project) -> None:
    """A revision whose parent is not there has failed."""
    project.write("migrations/versions/0002.py", _REVISION.format(revision="0002", before="0009"))
    level, found, _ = doctor(project).tell("history", "history")
    assert level == "failed"
    assert "0009" in found


def test_no_configuration(bare: Callable[..., Project]) -> None:
    """A project without Alembic is warned, not refused: it may migrate in a way of its own."""
    report = doctor(bare("alembic.ini"))
    (finding,) = report.of("history")
    assert (finding["level"], finding["found"]) == ("warning", "none")
    assert finding["sought"].startswith("alembic.ini in ")
    assert "or make one: alembic init migrations" in finding["remedy"]
    assert report.status == 0


def test_a_configuration_that_is_not_there(project: Project) -> None:
    """A configuration that was named and is not there has failed."""
    (finding,) = doctor(project, PRISTINE_ALEMBIC_CONFIG="other.ini").of("history")
    assert (finding["level"], finding["found"]) == ("failed", "no such file")
    assert "other.ini (PRISTINE_ALEMBIC_CONFIG)" in finding["sought"]


def test_several_configurations(bare: Callable[..., Project]) -> None:
    """Several configurations, none of which was named, have failed."""
    project = bare("alembic.ini")
    for name in ("a", "b"):
        project.write(f"{name}/alembic.ini", "[alembic]\n")
    (finding,) = doctor(project).of("history")
    assert (finding["level"], finding["found"]) == ("failed", "several: a/alembic.ini, b/alembic.ini")


def test_no_script_directory(project: Project) -> None:
    """A script directory that is not there has failed."""
    project.write("alembic.ini", "[alembic]\nscript_location = nowhere\n")
    finding = doctor(project).of("history")[-1]
    assert finding["level"] == "failed"
    assert finding["sought"].startswith("the script directory nowhere named by script_location")


def test_no_env_py(bare: Callable[..., Project]) -> None:
    """A script directory without env.py has failed."""
    assert doctor(bare("migrations/env.py")).tell("history", "env.py") == (
        "failed", "there is none in migrations", ["alembic init makes one"],
    )  # fmt: skip


def test_an_env_py_with_a_url_of_its_own(project: Project) -> None:
    """An env.py that overwrites the URL that it is given is warned of, with what to write instead."""
    project.write(
        "migrations/env.py",
        """
        import os
        from alembic import context
        context.config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"])
        """,
    )
    level, found, remedy = doctor(project).tell("history", "env.py")
    assert (level, found) == (
        "warning", "migrations/env.py sets sqlalchemy.url itself, over the one that it is given",
    )  # fmt: skip
    assert remedy[0].startswith("make env.py use config.attributes")


@pytest.mark.parametrize(
    "text",
    [
        'url = config.get_main_option("sqlalchemy.url")',
        'if not config.get_main_option("sqlalchemy.url"):\n    config.set_main_option("sqlalchemy.url", own())',
        'config.set_main_option("sqlalchemy.url", f(config.get_main_option("sqlalchemy.url")))',
        'config.set_main_option("sqlalchemy.url", own())\nconnection = config.attributes.get("connection")',
        'config.set_main_option("script_location", "x")',
    ],
)
def test_an_env_py_that_may_be_right(text: str) -> None:
    """An env.py that only sets a URL on a condition, or takes the connection, is not suspected."""
    assert history.reason_to_doubt(text) is None


def test_an_env_py_that_is_no_python() -> None:
    """An env.py with a syntax error is told with its line."""
    assert history.reason_to_doubt("def (\n") == "is no Python: invalid syntax, line 1"


def test_steps_without_alembic(bare: Callable[..., Project]) -> None:
    """Where no step is Alembic's nothing of it is missed, and each step is told."""
    project = bare("alembic.ini")
    project.write(
        "pytest.ini", "[pytest]\npristine_migrations =\n    sql: seeds\n    command: make db\n    sql: gone\n"
    )
    project.write("seeds/1.sql", "SELECT 1")
    project.write("seeds/2.sql", "SELECT 2")
    found = [(finding["level"], finding["found"]) for finding in doctor(project).of("history")]
    assert found[:2] == [("ok", "sql: seeds: 2 files, from 1.sql to 2.sql"), ("ok", "command: make db")]
    assert found[2] == ("failed", "no such file or directory")


def test_a_step_that_cannot_be_read(project: Project) -> None:
    """A line that names nothing that can be called has failed."""
    project.write("pytest.ini", "[pytest]\npristine_migrations = call: nothing\n")
    (finding,) = doctor(project).of("history")
    assert (finding["level"], finding["subject"], finding["found"]) == ("failed", "steps", "call: nothing")
