"""Connections that code under test takes from an engine and does not give back."""

from __future__ import annotations

import functools
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
# What SQLAlchemy does with a connection that nobody has any more: one of an asynchronous engine cannot be given back.
_LOST, _NEAR = "_finalize_fairy", 8


@dataclass(frozen=True, slots=True)
class _Taken:
    """A connection that is out.

    Attributes:
        test: The test whose body took it; empty when something else did.
        place: Where.
        pid: Process id of its session; None when it is not known.
        fixture: Whose engine it is of.
    """

    test: str
    place: str
    pid: int | None
    fixture: str

    def __str__(self) -> str:
        return f"a connection of {self.fixture}, taken at {self.place}"


class Checkouts:
    """Knows which connections of engines are out, and which test took them.

    What fixtures take that live longer than a test is not the test's: only what is taken while its body runs is.
    """

    def __init__(self) -> None:
        self._test = ""
        # Threads of the application take connections, too.
        self._lock = threading.Lock()
        self._out: dict[int, _Taken] = {}
        self._lost: list[_Taken] = []
        self._told: list[_Taken] = []

    def attend(self, engine: Engine, fixture: str) -> None:
        """Listen to the pool of an engine.

        Args:
            engine: The engine.
            fixture: The fixture that gives it.
        """
        event.listen(engine, "checkout", functools.partial(self._take, fixture))
        event.listen(engine, "checkin", self._give_back)
        event.listen(engine, "detach", self._let_go)

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
            out = {key: taken for key, taken in self._out.items() if wanted(taken)}
            for key in out:
                del self._out[key]
            found = [*out.values(), *filter(wanted, self._lost)]
            self._lost = [taken for taken in self._lost if not wanted(taken)]
            self._told += found
        return found

    def _take(self, fixture: str, _connection: object, entry: ConnectionPoolEntry, _proxy: object) -> None:
        place = _place(sys._getframe(1))  # noqa: SLF001 - the documented way
        with self._lock:
            self._out[id(entry)] = _Taken(self._test, place, entry.info.get(PID), fixture)

    def _give_back(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        with self._lock:
            self._out.pop(id(entry), None)

    def _let_go(self, connection: object, entry: ConnectionPoolEntry) -> None:
        """Whoever detaches a connection has it for good, and closes it; one that was lost was not given back."""
        if any(frame.f_code.co_name == _LOST for frame in _frames(sys._getframe(1), _NEAR)):  # noqa: SLF001 - as above
            with self._lock:
                self._lost += filter(None, [self._out.pop(id(entry), None)])
        else:
            self._give_back(connection, entry)


def _place(frame: FrameType | None) -> str:
    """The innermost place outside the libraries."""
    for each in _frames(frame):
        package = str(each.f_globals.get("__name__", "")).split(".")[0]
        if package not in _LIBRARIES:
            return f"{each.f_code.co_filename}:{each.f_lineno}"
    return "an unknown place"


def _frames(frame: FrameType | None, most: int = sys.maxsize) -> Iterator[FrameType]:
    """A frame and those that called it. Those of asynchronous engines go on in the greenlet that waits for this one."""
    greenlet = sys.modules.get("greenlet")
    current = None if greenlet is None else greenlet.getcurrent()
    while frame is not None and most:
        yield frame
        most, frame = most - 1, frame.f_back
        if frame is None and current is not None and current.parent is not None:
            current = current.parent
            frame = current.gr_frame
