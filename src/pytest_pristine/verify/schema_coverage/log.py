"""Errors in the server's own log: those of all processes.

The log tells the message alone, in English, and not in fields. It is compared with the messages that the constraints of
the schema can have: names may hold whatever they like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

# What our servers write before each line; see `servers.cluster.SETTINGS`.
_PREFIX = re.compile(rb"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \S+ \[\d+\] ([0-9A-Z]{5}) ")
_ERROR = b"ERROR:  "
# The class of errors that constraints have.
_OF_CONSTRAINTS = b"23"


class Log:
    """Reads what was appended to a log.

    Attributes:
        path: The log.
        database: The database whose errors are looked for.
    """

    def __init__(self, path: Path, database: str) -> None:
        """Begin at its present end.

        Raises:
            OSError: It cannot be read.
        """
        self.path = path
        self._database = database.encode() + b" "
        with path.open("rb"):
            self._position = path.stat().st_size

    def skip(self) -> None:
        """Leave out what was written up to now: it is not the tests'."""
        try:
            self._position = self.path.stat().st_size
        except OSError:
            self._position = 0

    def errors(self) -> Iterator[tuple[str, str]]:
        """The errors of constraints that were appended since: SQLSTATE and message."""
        lines = self._appended()
        number = 0
        while number < len(lines):
            found = self._begins(lines[number])
            number += 1
            if found is None:
                continue
            state, message = found
            # A further line of the same message begins with a tab.
            while number < len(lines) and lines[number].startswith(b"\t"):
                message += b"\n" + lines[number][1:]
                number += 1
            yield state, message.decode(errors="replace")

    def _appended(self) -> list[bytes]:
        """Whole lines alone: the server may be about to write the rest of one."""
        try:
            size = self.path.stat().st_size
            if size <= self._position:
                self._position = size
                return []
            with self.path.open("rb") as file:
                file.seek(self._position)
                text = file.read(size - self._position)
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._position += len(whole)
        return whole.split(b"\n")[:-1]

    def _begins(self, line: bytes) -> tuple[str, bytes] | None:
        found = _PREFIX.match(line)
        if found is None or not found[1].startswith(_OF_CONSTRAINTS):
            return None
        rest = line[found.end() :]
        if not rest.startswith(self._database + _ERROR):
            return None
        return found[1].decode(), rest[len(self._database + _ERROR) :]
