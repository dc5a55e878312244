"""Processes of Python that a test starts and that the guard does not reach."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_pristine.verify.sqlite_guard.notes import VARIABLE

# The arguments of these events begin with the program and its arguments, and end with the environment.
EVENTS = frozenset({"subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn"})
_PYTHON = re.compile(r"(python|pypy)[\d.]*w?(\.exe)?", re.IGNORECASE)
_IN_SHELL = re.compile(r"\b(python|pypy)[\d.]*\b")
_SHELLS = ("sh", "bash", "dash", "zsh")
# An option's value follows, or a program of which the further arguments are.
_LAST_OPTIONS = ("-c", "-m")
_WITH_VALUE = "WX"
# Bytes in which a script names its interpreter.
_FIRST_LINE = 256


def unwatched(event: str, arguments: tuple[Any, ...]) -> str | None:
    """Why a process of Python that is about to be started will not be watched.

    Args:
        event: The event, one of `EVENTS`.
        arguments: What the interpreter tells of it.

    Returns:
        The reason in words; empty where it will be watched; None where it is no Python.
    """
    program, given = arguments[:2] if event != "os.spawn" else arguments[1:3]
    environment = arguments[-1]
    words = _words(given)
    path = os.fsdecode(program) if program is not None else (words[0] if words else "")
    python = _PYTHON.fullmatch(os.path.basename(path)) is not None  # noqa: PTH119 - it may be another system's path
    if not _has(os.environ if environment is None else environment):
        known = python or _is_script(path) or _is_in_shell(path, words)
        return "because its environment is not the test's" if known else None
    if not python:
        return None
    if _has_no_site(words[1:]):
        return "because of its option -S"
    return "" if _is_ours(path, environment) else f"because it is another Python ({path})"


def _words(given: Any) -> list[str]:  # noqa: ANN401 - whatever a process is started with
    if isinstance(given, (str, bytes, os.PathLike)):
        return os.fsdecode(given).split()
    return [os.fsdecode(word) for word in given] if isinstance(given, Iterable) else []


def _has(environment: Any) -> bool:  # noqa: ANN401 - a mapping of texts or of bytes
    return VARIABLE in environment or (os.name != "nt" and VARIABLE.encode() in dict(environment))


def _has_no_site(words: list[str]) -> bool:
    """Whether Python is told not to process .pth files."""
    for word in words:
        if not word.startswith("-") or word.startswith(_LAST_OPTIONS) or word in ("-", "--"):
            return False
        if not word.startswith("--") and "S" in re.split(f"[{_WITH_VALUE}cm]", word)[0]:
            return True
    return False


def _is_ours(path: str, environment: Mapping[str, str] | None) -> bool:
    """Whether a Python is the one that runs the tests. A link to it elsewhere is not: it has other packages."""
    import shutil  # most tests start no process

    found = shutil.which(path, path=(os.environ if environment is None else environment).get("PATH"))
    return found is None or _directory(found) == _directory(sys.executable)


def _is_script(path: str) -> bool:
    """Whether a program is a script that Python runs."""
    import shutil  # most tests start no process

    found = shutil.which(path)
    if found is None:
        return False
    with open(found, "rb") as file:  # noqa: PTH123 - pathlib need not be loaded in a process that is watched
        begins = file.read(_FIRST_LINE)
    return begins.startswith(b"#!") and b"python" in begins.splitlines()[0]


def _is_in_shell(path: str, words: list[str]) -> bool:
    """Whether a shell is told to run Python."""
    shell = os.path.basename(path) in _SHELLS  # noqa: PTH119 - it may be another system's path
    return shell and any(_IN_SHELL.search(word) for word in words[1:])


def _directory(path: str) -> str:
    return os.path.normcase(os.path.realpath(os.path.dirname(path)))  # noqa: PTH120 - a link to Python is no link to its directory
