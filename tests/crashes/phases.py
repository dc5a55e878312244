"""What a run is doing, told from the processes there are and from the marks that the project makes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

BEGIN, OVER = "Python starts", "after the run"
# Words in the command line of a process below the run, with what the run is doing then.
_CHILDREN = (
    ("initdb", "initdb"),
    ("--single", "recovery"),
    ("pg_ctl", "server start"),
    ("pytest_pristine.migrations.", "migrations"),
)
# Postgres shows the statement that a session is at in its process's title. Whose session it is is not seen.
_STATEMENTS = ("CREATE DATABASE", "DROP DATABASE")
# In the order of a run's life, for the table.
ALL = (
    BEGIN, "collection", "finding the server", "initdb", "recovery", "server start", "making databases", "migrations",
    "CREATE DATABASE", "test", "restore", "DROP DATABASE", "end", OVER,
)  # fmt: skip


@dataclass(frozen=True)
class Process:
    """A process as it was when it was looked at."""

    pid: int
    parent: int
    line: str
    name: str


def processes() -> list[Process]:
    """All processes that are not dead, those of the harness included."""
    return [
        Process(each.pid, each.info["ppid"] or 0, " ".join(each.info["cmdline"] or ()).strip(), each.info["name"])
        for each in psutil.process_iter(["ppid", "cmdline", "status", "name"])
        if each.info["status"] != psutil.STATUS_ZOMBIE
    ]


def below(pid: int, there: Iterable[Process]) -> list[Process]:
    """A process and its descendants, the process first."""
    every = list(there)
    found = [each for each in every if each.pid == pid]
    for each in found:  # it grows
        found += [child for child in every if child.parent == each.pid]
    return found


def of(pid: int, marks: Path, there: list[Process], *, alone: bool = False) -> str:
    """What a run is doing.

    Args:
        pid: The run's main process, or a worker of it.
        marks: Where the project makes its marks.
        there: The processes there are.
        alone: Go by the marks of this process alone.
    """
    family = below(pid, there)
    if not family:
        return OVER
    for word, phase in _CHILDREN:
        if any(word in each.line for each in family[1:]):
            return phase
    for statement in _STATEMENTS:
        if any(each.line.startswith("postgres:") and each.line.endswith(statement) for each in there):
            return statement
    left = [marks / str(each.pid) for each in (family[:1] if alone else family)]
    last = max((path for path in left if path.exists()), key=lambda path: path.stat().st_mtime_ns, default=None)
    return (last.read_text(encoding="utf-8") if last is not None else "") or BEGIN
