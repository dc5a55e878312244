"""The anchor: the connection whose locks keep a run's databases its own as long as the run lives."""

from __future__ import annotations

import os
from collections.abc import Callable

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine.errors import RestoreError, UnreachableError
from pytest_pristine.postgres import connections, locks
from pytest_pristine.postgres.connections import Connection

# Seconds in which a session that ended gives its locks back.
PATIENCE = 2.0


def _nobody_can() -> bool:
    """A server that is not ours is started by others."""
    return False


class Anchor:
    """A connection and the locks that are held on it, had again when the connection broke.

    Attributes:
        connection: The connection as it is, broken or not.
    """

    def __init__(self, url: URL, purpose: str, revive: Callable[[], bool] = _nobody_can) -> None:
        """Connect.

        Args:
            url: The server's maintenance database.
            purpose: What it is for; see `connections.connect`.
            revive: Starts the server again if it died and is ours.

        Raises:
            UnreachableError: There is no connection to be had.
        """
        self._url = url
        self._purpose = purpose
        self._revive = revive
        self._alone: list[str] = []
        self._together: list[str] = []
        self._pid = os.getpid()
        self.connection = self._connect()

    def hold(self, subject: str, patience: float = 0.0) -> bool:
        """Hold a lock from now on, if it is free or becomes free within so many seconds; gives whether it is held."""
        held = locks.try_take(self.connection, subject) or (
            patience > 0 and locks.take_within(self.connection, subject, patience)
        )
        if held:
            self._alone.append(subject)
        return held

    def join(self, subject: str) -> None:
        """Hold a lock from now on together with other sessions of this run.

        Raises:
            RestoreError: Somebody holds it alone.
        """
        self._together.append(subject)
        _check_held(subject, held=locks.join_within(self.connection, subject, PATIENCE))

    def alive(self) -> Connection:
        """The connection, made anew when somebody ended it, or the server restarted.

        Raises:
            UnreachableError: There is no connection to be had.
            RestoreError: Another run took over meanwhile.
        """
        if os.getpid() != self._pid:
            # We are a fork: on the connection, which is never closed here, our parent goes on, and keeps what it holds.
            self._inherited, self._alone = self.connection, []
            self.connection, self._pid = self._connect_again(), os.getpid()
        try:
            self.connection.execute("SELECT 1")
        except psycopg.OperationalError:
            self.connection.close()
            self.connection = self._connect_again()
        return self.connection

    def _connect(self) -> Connection:
        try:
            return connections.connect(self._url, self._purpose)
        except UnreachableError:
            self._revive()
            return connections.connect(self._url, self._purpose)

    def _connect_again(self) -> Connection:
        connection = self._connect()
        try:
            for subject in self._alone:
                _check_held(subject, held=locks.take_within(connection, subject, PATIENCE))
            for subject in self._together:
                _check_held(subject, held=locks.join_within(connection, subject, PATIENCE))
        except BaseException:
            connection.close()
            raise
        return connection

    def close(self) -> None:
        """End the connection, and give all locks back."""
        if os.getpid() == self._pid:  # a fork leaves it to its parent
            self.connection.close()


def _check_held(subject: str, *, held: bool) -> None:
    if not held:
        raise RestoreError(
            f"the lock {subject!r}, which this run lost with its connection",
            "another run holds it now",
            ["see the server's log for the reason why the connection ended, and run the tests again"],
        )
