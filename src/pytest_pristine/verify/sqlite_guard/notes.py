"""What other processes tell: a file to which forks and children of Python append a line for each use.

One variable of the environment, which children inherit, names the directory in which it is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import NamedTuple

from pytest_pristine.verify.sqlite_guard.uses import Use

# `pytest_pristine_watch.pth` looks for it at the start of each Python.
VARIABLE = "PRISTINE_SQLITE_WATCH"
# pytest says here which test runs, and in which phase of it.
_CURRENT_TEST = "PYTEST_CURRENT_TEST"
_NOTES = "notes.jsonl"
_ORDERS = "orders.json"


class Orders(NamedTuple):
    """What a child must know.

    Attributes:
        root: pytest's root directory.
        allow: Patterns of what may open SQLite.
    """

    root: str
    allow: tuple[str, ...]


class Note(NamedTuple):
    """What a process told.

    Attributes:
        test: The test that started it.
        use: What it did; None where there is a problem.
        problem: What could not be watched, in words.
    """

    test: str
    use: Use | None = None
    problem: str = ""


class Notes:
    """The directory, as the process that runs tests sees it, or another one."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._file = os.path.join(directory, _NOTES)  # noqa: PTH118 - this runs at the start of processes
        self._read = 0

    def begin(self, orders: Orders) -> None:
        """Write down what children must know."""
        with open(os.path.join(self.directory, _ORDERS), "w", encoding="utf-8") as file:  # noqa: PTH118, PTH123 - as above
            json.dump(orders, file)
        with open(self._file, "ab"):  # noqa: PTH123 - as above
            pass

    def orders(self) -> Orders:
        """Read it."""
        with open(os.path.join(self.directory, _ORDERS), encoding="utf-8") as file:  # noqa: PTH118, PTH123 - as above
            root, allow = json.load(file)
        return Orders(root, tuple(allow))

    def add(self, note: Note) -> None:
        """Append a note. Many processes do: each writes its line at once."""
        try:
            written = os.open(self._file, os.O_WRONLY | os.O_APPEND)
        except FileNotFoundError:
            return  # the run is over
        try:
            os.write(written, json.dumps(note).encode() + b"\n")
        finally:
            os.close(written)

    def new(self) -> Sequence[Note]:
        """The notes since last time."""
        if os.stat(self._file).st_size == self._read:  # noqa: PTH116 - once for each phase of each test
            return ()
        with open(self._file, "rb") as file:  # noqa: PTH123 - as above
            file.seek(self._read)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        told = [json.loads(line) for line in whole.splitlines()]
        return [Note(test, None if use is None else Use(*use), problem) for test, use, problem in told]


def current_test() -> str:
    """The test that started this process, as pytest told it; empty where it did not."""
    return os.environ.get(_CURRENT_TEST, "").rpartition(" (")[0]
