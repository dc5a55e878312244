"""The example projects pass when they are run as their users would run them."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Home, clean_environment

EXAMPLES = Path(__file__).parents[2] / "examples"
PROJECTS = sorted(path.parent.name for path in EXAMPLES.glob("*/pytest.ini"))
# Tests are shuffled unless pytest-randomly is switched off.
RUNS = (("-n", "0", "-p", "no:randomly"), ("-n", "2"))


@pytest.mark.parametrize("project", PROJECTS)
def test_example_passes(project: str, tmp_path: Path, shared_home: Home) -> None:
    """All tests of the project pass: in their order, and shuffled among two workers."""
    shutil.copytree(EXAMPLES / project, tmp_path / project)
    for arguments in RUNS:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *arguments],
            cwd=tmp_path / project,
            env=clean_environment(PRISTINE_HOME=str(shared_home.path)),
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
