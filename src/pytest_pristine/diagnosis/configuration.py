"""What pytest makes of the project's configuration, asked of pytest itself in a process of its own.

No plugin and no conftest.py of the project is imported here, and one that hangs or fails does so elsewhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The plugin that answers, and the variable that tells it where.
PLUGIN = "pytest_pristine.plugin.inquiry"
ANSWER = "PRISTINE_INQUIRY_ANSWER"
# Seconds that pytest may take to read its configuration. Plugins and conftest.py may import the application.
_LIMIT = 30
# Lines of pytest's own words that a finding quotes.
_LINES = 8

# Ways to ask, in this order. A conftest.py takes time to import, and may define options that `addopts` uses. Without
# `addopts` the rest can be read when these are wrong.
_WAYS: tuple[list[str], ...] = (["--noconftest"], [], ["--noconftest", "-o", "addopts="])


@dataclass(frozen=True, slots=True)
class Configuration:
    """What pytest read.

    Attributes:
        root: pytest's root directory.
        file: The ini file; None when there is none.
        options: Texts of our options by setting name, where `addopts` gives them.
        values: Texts of our ini keys, where the ini file gives them.
        keys: All keys in the ini file.
        registered: Our plugin is loaded.
        blocked: Our plugin is switched off with `-p no:pristine`.
        plugins: Distributions of other plugins that are loaded.
        testpaths: Where pytest looks for tests.
        patterns: File names of tests.
        problem: What pytest says when it cannot read its configuration; empty when it can.
    """

    root: Path
    file: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, str] = field(default_factory=dict)
    keys: Sequence[str] = ()
    registered: bool = True
    blocked: bool = False
    plugins: Sequence[str] = ()
    testpaths: Sequence[str] = ()
    patterns: Sequence[str] = ("test_*.py", "*_test.py")
    problem: str = ""


def read(directory: Path, tests: Sequence[str], environ: Mapping[str, str]) -> Configuration:
    """Ask pytest.

    Args:
        directory: Where pytest would be started.
        tests: The arguments that it would be given: they decide which root directory and ini file it takes.
        environ: The environment.
    """
    problem = ""
    for way in _WAYS:
        try:
            answer = _ask(directory, [*way, *tests], environ)
        except OSError as error:
            answer = f"nothing: {error}"  # no room for a temporary file, say
        if isinstance(answer, dict):
            # What goes wrong without the conftest.py alone is no problem of the project's.
            lasting = problem if way == _WAYS[-1] else ""
            root, file = Path(answer.pop("root")), answer.pop("file")
            return Configuration(root, None if file is None else Path(file), **answer, problem=lasting)
        problem = answer
    return Configuration(directory, problem=problem)


def _ask(directory: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> dict[str, Any] | str:
    """What pytest answers, or says instead."""
    with tempfile.TemporaryDirectory(prefix="pristine-") as scratch:
        answer = Path(scratch) / "answer.json"
        # pytest-cov would remove the data of the last run as soon as it is loaded.
        further = {ANSWER: str(answer), "COVERAGE_FILE": str(Path(scratch) / "coverage")}
        command = [sys.executable, "-m", "pytest", "-p", PLUGIN, *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - the command is ours
                command, cwd=directory, env={**environ, **further}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=_LIMIT, check=False, encoding="utf-8", errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"nothing within {_LIMIT} s"
        if not answer.exists():
            said = [line for line in done.stdout.splitlines() if line.strip()]
            return os.linesep.join(said[-_LINES:]) or f"nothing, and ended with status {done.returncode}"
        found: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
        return found
