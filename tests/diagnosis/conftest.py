"""Calling the doctor as a user does, and reading what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_up import free_port
from tests.conftest import DEADLINE, Project, Run

# Stands in every URL of these tests, and in no output.
PASSWORD = "Sesam-42"  # noqa: S105 - what must not be shown
COMMAND = Path(sys.executable).with_name("pristine")
LEVELS = ("ok", "warning", "failed")


@dataclass(frozen=True)
class Report:
    """What the doctor said in JSON.

    Attributes:
        status: Its exit status.
        whole: The report.
    """

    status: int
    whole: dict[str, Any]

    def of(self, check: str) -> list[dict[str, Any]]:
        """The findings of a check."""
        return [finding for finding in self.whole["findings"] if finding["check"] == check]

    def one(self, check: str, subject: str) -> dict[str, Any]:
        """The one finding of a check about a subject."""
        (found,) = [finding for finding in self.of(check) if finding["subject"] == subject]
        return found

    def tell(self, check: str, subject: str) -> tuple[str, str, list[str]]:
        """Level, what was found, and what to do."""
        found = self.one(check, subject)
        return found["level"], found["found"], found["remedy"]


def call(project: Project, *arguments: str, **environ: str) -> Run:
    """Call the command in the project's directory. The port of the guide may be in use here, and is not looked at."""
    if "--port" not in arguments:
        arguments = ("--port", free_port(), *arguments)
    done = subprocess.run(
        [COMMAND, "doctor", *arguments],
        cwd=project.path,
        env={**project.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    output = done.stdout + done.stderr
    assert PASSWORD not in output
    assert "Traceback" not in output
    return Run(done.returncode, output)


def doctor(project: Project, *arguments: str, **environ: str) -> Report:
    """The report of a doctor that starts nothing."""
    return full(project, "--quick", *arguments, **environ)


def full(project: Project, *arguments: str, **environ: str) -> Report:
    """The report of a doctor that migrates."""
    # What other tests have left in the usual directory for temporary files is not this project's.
    temporary = project.path.parent / "temporary"
    temporary.mkdir(exist_ok=True)
    run = call(project, "--json", *arguments, **{"TMPDIR": str(temporary), **environ})
    report = Report(run.status, json.loads(run.output))
    number = {level: sum(each["level"] == level for each in report.whole["findings"]) for level in LEVELS}
    assert report.whole["summary"] == number
    assert run.status == int(not report.whole["passed"]) == int(number["failed"] > 0)
    return report


@pytest.fixture
def bare(project: Project) -> Callable[..., Project]:
    """A function that removes files of the project and gives what is left."""

    def remove(*names: str) -> Project:
        for name in names:
            (project.path / name).unlink()
        return project

    return remove
