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
            opened: A connection for the engine.
        """
        self.url = url
        self._make = make
        self._opened = opened
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
                self._engine = self._make(self.url)
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

    def check(self) -> None:
        """Look after the connection that waits for the engine: a server that was restarted has ended it."""
        if self._opened is not None and not self._opened.is_alive():
            self._opened.close()

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
