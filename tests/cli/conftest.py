"""What the tests of commands share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.conftest import DEADLINE, Home, Run, clean_environment
from tests.servers.conftest import use  # noqa: F401 - a fixture

PRISTINE = str(Path(sys.executable).parent / "pristine")


def environment(home: Home, **further: str) -> dict[str, str]:
    """The environment of a command that works in a home."""
    return clean_environment(PRISTINE_HOME=str(home.path), **further)


def command(home: Home, *arguments: str, cwd: Path | None = None, **environ: str) -> Run:
    """Run the installed command in a process of its own, without a terminal."""
    done = subprocess.run(
        [PRISTINE, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
        text=True, check=False, env=environment(home, **environ), cwd=cwd or home.path, timeout=DEADLINE,
    )  # fmt: skip
    # What took long is told on standard error, and is not part of an answer.
    return Run(done.returncode, done.stdout + (done.stderr if done.returncode else ""))
