"""A database of one test alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from pytest_pristine.postgres.engines import PID
from pytest_pristine.postgres.handed import Opened


class FreshDatabase:
    """What the fixture `fresh_database` gives: a database that nobody else uses, as the migrations left it.

    A test may do anything to it, and it is dropped afterwards. It is a copy of what the tests of `clean_database` are
    restored to: of the innermost layer, where there are any.

    Attributes:
        url: Where it is, password included.
    """

    def __init__(self, url: URL, make: Callable[[URL], Engine], opened: Opened | None = None) -> None:
        """Take a database that was made.

        Args:
            url: Where it is.
            make: Makes the engine.
            opened: A connection for the engine, if one is likely to be asked for.
        """
        self.url = url
        self._make = make
        self._opened = opened
        # It takes half a millisecond, and connects to nothing.
        self._prepared = None if opened is None else make(url)
        self._engine: Engine | None = None
        # A test may start threads.
        self._lock = threading.Lock()
        self._listeners: list[Callable[[Engine], None]] = []
        self.pids: set[int] = set()

    def __repr__(self) -> str:
        return f"FreshDatabase({self.url!r})"

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.url.database)

    @property
    def engine(self) -> Engine:
        """A SQLAlchemy engine for it, made when it is asked for, and disposed of after the test."""
        with self._lock:
            if self._engine is None:
                self._engine = self._prepared or self._make(self.url)
                event.listen(self._engine, "connect", self._hear)
                if self._opened is not None:
                    self._opened.hand_to(self._engine)
                for listener in self._listeners:
                    listener(self._engine)
            return self._engine

    @property
    def has_engine(self) -> bool:
        """Whether the engine was asked for."""
        return self._engine is not None

    def on_engine(self, listener: Callable[[Engine], None]) -> None:
        """Have a function called with the engine once it is made."""
        self._listeners.append(listener)

    def is_held(self) -> bool:
        """Whether the connection that waits for the engine is in it still, so that it is there; else that is closed."""
        if self._opened is None:
            return False
        if not self._opened.is_alive():
            self._opened.close()
            return False
        return True

    def dispose(self) -> None:
        """Close the connections that are in nobody's hands."""
        if self._opened is not None:
            self._opened.close()
        if self._engine is not None:
            self._engine.dispose()

    def _hear(self, _: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        """Note whose session it is that the engine has."""
        if (pid := entry.info.get(PID)) is not None:
            self.pids.add(pid)
