"""Connections that code under test takes from an engine and does not give back."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from sqlalchemy import Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from pytest_pristine.postgres.engines import PID

# Packages whose frames are not the place where a connection was taken.
_LIBRARIES = ("sqlalchemy", "pytest_pristine", "contextlib", "greenlet")


@dataclass(frozen=True, slots=True)
class _Taken:
    """A connection that is out.

    Attributes:
        test: The test whose body took it; empty when something else did.
        place: Where.
        pid: Process id of its session; None when it is not known.
        fixture: The fixture whose engine it is of.
    """

    test: str
    place: str
    pid: int | None
    fixture: str

    def __str__(self) -> str:
        return f"a connection of {self.fixture}, taken at {self.place}"


class Checkouts:
    """Knows which connections of an engine are out, and which test took them.

    What fixtures take that live longer than a test is not the test's: only what is taken while its body runs is.
    """

    def __init__(self, fixture: str = "postgres_engine") -> None:
        """Know of none.

        Args:
            fixture: The fixture that gives the engine.
        """
        self._fixture = fixture
        self._test = ""
        # Threads of the application take connections, too.
        self._lock = threading.Lock()
        self._out: dict[int, _Taken] = {}
        self._told: list[_Taken] = []

    def watch(self, engine: Engine) -> None:
        """Listen to an engine's pool."""
        event.listen(engine, "checkout", self._take)
        event.listen(engine, "checkin", self._give_back)
        # Whoever detaches a connection has it for good, and closes it.
        event.listen(engine, "detach", self._give_back)

    @property
    def pids(self) -> set[int]:
        """Process ids of the sessions of all that are out, or were told to be left."""
        return {taken.pid for taken in (*self._out.values(), *self._told) if taken.pid is not None}

    @contextmanager
    def within(self, test: str) -> Iterator[None]:
        """While the body of a test runs."""
        self._test = test
        try:
            yield
        finally:
            self._test = ""

    def left(self, test: str) -> list[str]:
        """The connections that a test took and has not given back, in words, each told once."""
        return [str(taken) for taken in self._tell(lambda taken: taken.test == test)]

    def rest(self) -> list[str]:
        """All others that are out when all is over, in words."""
        return [f"{taken.test or 'a fixture'} left {taken}" for taken in self._tell(lambda _: True)]

    def _tell(self, wanted: Callable[[_Taken], bool]) -> list[_Taken]:
        with self._lock:
            found = {key: taken for key, taken in self._out.items() if wanted(taken)}
            for key in found:
                del self._out[key]
            self._told += found.values()
        return list(found.values())

    def _take(self, _connection: object, entry: ConnectionPoolEntry, _proxy: object) -> None:
        place = _place(sys._getframe(1))  # noqa: SLF001 - the documented way
        with self._lock:
            self._out[id(entry)] = _Taken(self._test, place, entry.info.get(PID), self._fixture)

    def _give_back(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        with self._lock:
            self._out.pop(id(entry), None)


def _place(frame: FrameType | None) -> str:
    """The innermost place outside the libraries."""
    while frame is not None:
        package = str(frame.f_globals.get("__name__", "")).split(".")[0]
        if package not in _LIBRARIES:
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "an unknown place"
