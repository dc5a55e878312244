"""A project whose tests are guarded and need no server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Project, Run, clean_environment

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
