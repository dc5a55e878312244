"""Opening the connections that a restore works on, and recording the baseline on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from psycopg import errors
from sqlalchemy.engine import URL

from pytest_pristine.errors import PrivilegeError
from pytest_pristine.isolation import blockers, session
from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.watch import Watch
from pytest_pristine.postgres import connections
from pytest_pristine.postgres.capabilities import Capabilities
from pytest_pristine.postgres.connections import Connection

BLOCKED = (errors.LockNotAvailable, errors.DeadlockDetected)


@dataclass
class Opener:
    """Opens connections to the database under test.

    Attributes:
        url: The database.
        can: What the server offers to our role.
        timeout: Seconds to wait for a lock.
        hold: Has a connection keep the database ours; it raises `RestoreError` when it is another run's.
        uncounted: The server is to count nothing of what we do, where our role may say so.
    """

    url: URL
    can: Capabilities
    timeout: float
    hold: Callable[[Connection], None]
    uncounted: bool
    # What a test does to them must not change how rows are written as text.
    _texts: dict[str, str] = field(default_factory=dict)

    def restoring(self) -> Connection:
        """A connection that restores, and holds the database.

        Raises:
            UnreachableError: There is none to be had.
            RestoreError: The database is another run's.
        """
        connection = connections.connect(self.url, "restore")
        try:
            self.hold(connection)
            self._texts = self._texts or session.texts(connection)
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def record(self, connection: Connection, coverage: Coverage) -> Watch:
        """Record the baseline on a connection of its own, and be ready to restore it on this one.

        Args:
            connection: See `restoring`. It is closed when this fails.
            coverage: Which tables to look after.

        Raises:
            SettingError: The coverage cannot be met.
            PrivilegeError: What it covers belongs to another role, or cannot be read.
            RestoreBlockedError: Another session holds a lock.
        """
        try:
            return self._record_on(connection, connections.connect(self.url, "read"), coverage)
        except BaseException:
            connection.close()
            raise

    def resume(self, connection: Connection, watch: Watch) -> Watch:
        """Be ready to restore another copy of a template that was watched before.

        Args:
            connection: See `restoring`. It is closed when this fails.
            watch: What was known of the copy before.
        """
        try:
            return watch.again(connection)
        except BaseException:
            connection.close()
            raise

    def _record_on(self, connection: Connection, reading: Connection, coverage: Coverage) -> Watch:
        try:
            self._prepare(reading)
            return Watch.begin(connection, reading, coverage, replica=self.can.replica)
        except BLOCKED:
            error = blockers.explain(reading, self.timeout)
            reading.close()
            raise error from None
        except errors.InsufficientPrivilege as error:
            reading.close()
            raise PrivilegeError(
                f"to read all of the database {self.url.database!r}, in order to put it back after tests",
                str(error).strip(),
                ["grant the role what it lacks", "or leave the relation alone: pristine_exclude"],
            ) from None
        except BaseException:
            reading.close()
            raise

    def _prepare(self, connection: Connection) -> None:
        session.prepare(connection, self.can, self.timeout, self._texts, uncounted=self.uncounted)
