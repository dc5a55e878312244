"""Projects that have not been set up, and calling `pristine init` in them as a user does."""

from __future__ import annotations

import difflib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import DEADLINE, Project, Run

COMMAND = Path(sys.executable).with_name("pristine")
FIRST_TEST, GUIDE, WORKFLOW = "tests/test_postgres.py", "docs/testing-with-postgres.md", ".github/workflows/tests.yml"

# Plugins that take time to import.
_NOT_NEEDED = ("cacheprovider", "hypothesispytest", "anyio", "randomly", "pytest_cov")


@pytest.fixture
def bare(project: Project) -> Project:
    """A project with a history, and with neither tests nor a configuration of pytest."""
    for name in ("pytest.ini", "test_users.py"):
        (project.path / name).unlink()
    return project


def init(project: Project, *arguments: str, **environ: str) -> Run:
    """Call the command in the project's directory, without a terminal."""
    done = subprocess.run(
        [COMMAND, "init", *arguments], cwd=project.path, env={**project.environ, **environ},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    return Run(done.returncode, done.stdout + done.stderr)


def set_up(project: Project, *arguments: str) -> str:
    """Have the files written; gives what was said."""
    run = init(project, "--yes", *arguments)
    assert run.status == 0, run.output
    return run.output


def run_pytest(project: Project, *arguments: str) -> Run:
    """Run the command `pytest`; unlike `python -m pytest` it does not put the current directory on the path."""
    blocked = [word for name in _NOT_NEEDED for word in ("-p", f"no:{name}")]
    return shell(project, shlex.join(["pytest", *blocked, *arguments]))


def shell(project: Project, line: str) -> Run:
    """Run a line as a shell does where this environment is activated."""
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=project.path, text=True, timeout=DEADLINE, check=False,
        env={**project.environ, "PATH": f"{COMMAND.parent}{os.pathsep}{project.environ['PATH']}"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return Run(done.returncode, done.stdout)


def passes(project: Project, *arguments: str, number: int = 3) -> None:
    """The tests that were written are collected and pass, when pytest is run without anything else."""
    run = run_pytest(project, *arguments)
    assert run.status == 0, run.output
    assert f"{number} passed" in run.output


def refused(project: Project, *arguments: str, **environ: str) -> str:
    """What an error says, in one line; the project is as it was."""
    before = files(project)
    run = init(project, "--yes", *arguments, **environ)
    assert run.status == 1, run.output
    assert files(project) == before
    return run.message()


def files(project: Project) -> dict[str, bytes]:
    """Every file of the project."""
    found = (path for path in project.path.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(project.path).as_posix(): path.read_bytes() for path in found}


def move_history(project: Project, *places: str) -> None:
    """Have the history lie in other directories instead of the root, in one or a copy in each."""
    for place in places:
        target = project.path / place
        target.mkdir(parents=True)
        shutil.copy(project.path / "alembic.ini", target)
        shutil.copytree(project.path / "migrations", target / "migrations")
    (project.path / "alembic.ini").unlink()
    shutil.rmtree(project.path / "migrations")


def added(before: bytes, after: bytes) -> list[str]:
    """The lines that were added to a file; no other was touched."""
    lines = list(difflib.ndiff(before.decode().splitlines(keepends=True), after.decode().splitlines(keepends=True)))
    assert not [line for line in lines if line.startswith("- ")], lines
    return [line[2:] for line in lines if line.startswith("+ ")]


def commands(project: Project) -> list[str]:
    """What the workflow runs, step by step."""
    return re.findall(r"^      - run: (.*)$", (project.path / WORKFLOW).read_text(), re.MULTILINE)
