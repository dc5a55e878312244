"""`pristine init`: shows what it would write, asks, and writes."""

from __future__ import annotations

import sys
from pathlib import Path

from pytest_pristine.scaffold import plan, survey, writing


def run(alembic: str | None, *, assume_yes: bool, dry: bool) -> int:
    """Set the project in the current directory up; gives the exit status.

    Args:
        alembic: The path of its alembic.ini, if it is not to be found.
        assume_yes: Write without asking.
        dry: Show, and neither ask nor write.
    """
    root = Path.cwd()
    planned = plan.make(survey.look(root, alembic))
    for change in planned.changes:
        _print(change.diff())
    for remark in planned.remarks:
        _print(f"note: {remark}")
    if not planned.changes:
        _print("nothing to write")
        return 0
    if dry:
        return 0
    if not assume_yes and not _agrees():
        return 1
    writing.write(root, planned.changes)
    for change in planned.changes:
        _print(f"wrote {change.path}")
    _print("now: pytest")
    return 0


def _agrees() -> bool:
    """Ask; without a terminal nobody can answer, and nothing is written."""
    if sys.stdin is None or not sys.stdin.isatty():
        _tell("nothing was written: there is no terminal to ask on. To write without asking: pristine init --yes\n")
        return False
    try:
        # Not on standard output, which may be led into a file or a pager.
        _tell("Write these files? [y/N] ")
        answer = sys.stdin.readline()
    except KeyboardInterrupt:
        answer = ""
    if answer.strip().lower() in ("y", "yes"):
        return True
    # Without the line that somebody ends by typing, ours would stand behind the question.
    _tell(f"{'' if answer.endswith(chr(10)) else chr(10)}nothing was written\n")
    return False


def _print(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - it is what a command is for


def _tell(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)  # noqa: T201 - it is what a command is for
