"""The anchor: the connection whose locks keep a run's databases its own as long as the run lives."""

from __future__ import annotations

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine.errors import RestoreError
from pytest_pristine.postgres import connections, locks
from pytest_pristine.postgres.connections import Connection

# Seconds in which a session that ended gives its locks back.
PATIENCE = 2.0


class Anchor:
    """A connection and the locks that are held on it, had again when the connection broke.

    Attributes:
        connection: The connection as it is, broken or not.
    """

    def __init__(self, url: URL, purpose: str) -> None:
        """Connect.

        Args:
            url: The server's maintenance database.
            purpose: What it is for; see `connections.connect`.

        Raises:
            UnreachableError: There is no connection to be had.
        """
        self._url = url
        self._purpose = purpose
        self._subjects: list[str] = []
        self.connection = connections.connect(url, purpose)

    def hold(self, subject: str, patience: float = 0.0) -> bool:
        """Hold a lock from now on, if it is free or becomes free within so many seconds; gives whether it is held."""
        held = locks.try_take(self.connection, subject) or (
            patience > 0 and locks.take_within(self.connection, subject, patience)
        )
        if held:
            self._subjects.append(subject)
        return held

    def release(self, subject: str) -> None:
        """Give a lock back."""
        self._subjects.remove(subject)
        locks.release(self.connection, subject)

    def alive(self) -> Connection:
        """The connection, made anew when somebody ended it, or the server restarted.

        Raises:
            UnreachableError: There is no connection to be had.
            RestoreError: Another run took over meanwhile.
        """
        try:
            self.connection.execute("SELECT 1")
        except psycopg.OperationalError:
            self.connection.close()
            self.connection = self._connect_again()
        return self.connection

    def _connect_again(self) -> Connection:
        connection = connections.connect(self._url, self._purpose)
        for subject in self._subjects:
            if not locks.take_within(connection, subject, PATIENCE):
                connection.close()
                raise RestoreError(
                    f"the lock {subject!r}, which this run lost with its connection",
                    "another run holds it now",
                    ["see the server's log for the reason why the connection ended, and run the tests again"],
                )
        return connection

    def close(self) -> None:
        """End the connection, and give all locks back."""
        self.connection.close()
