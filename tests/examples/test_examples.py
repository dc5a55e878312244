"""The example projects pass when they are run as their users would run them."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
PROJECTS = sorted(path.parent.name for path in EXAMPLES.glob("*/pytest.ini"))


@pytest.mark.parametrize("project", PROJECTS)
def test_example_passes(project: str) -> None:
    """All tests of the project pass, in whatever order."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q"],
        cwd=EXAMPLES / project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_every_example_is_listed() -> None:
    """The README of the examples names each project there is."""
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert PROJECTS
    assert all(f"`{project}`" in readme for project in PROJECTS)
