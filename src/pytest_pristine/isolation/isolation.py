"""Isolation: the database is pristine, a test writes what it likes, the database is pristine again."""

from __future__ import annotations

import logging
import threading
from typing import Protocol

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine.isolation import baseline, blockers, catalogue, restore, restore_as_owner
from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.changes import ChangeDetector, Changes
from pytest_pristine.isolation.probes import Probes
from pytest_pristine.isolation.restore import Restored
from pytest_pristine.postgres import connections
from pytest_pristine.postgres.connections import Connection

_log = logging.getLogger("pytest_pristine")


class Restorer(Protocol):
    """A way to put changed relations back."""

    def __call__(self, connection: Connection, baseline: Baseline, changes: Changes, /) -> Restored:
        """Put everything that changed back, in one transaction."""


class Isolation:
    """Restores a database to the state it was in when this object was made.

    It works on a connection of its own, and leaves nothing in the database: no table, no function, no trigger.
    """

    def __init__(self, url: URL, coverage: Coverage, *, replica: bool, timeout: float) -> None:
        """Record the baseline.

        Args:
            url: The database under test.
            coverage: Which tables to look after.
            replica: The role may set `session_replication_role`.
            timeout: Seconds to wait for a lock.

        Raises:
            SettingError: The coverage cannot be met.
        """
        self._timeout = timeout
        self._restore: Restorer = restore.restore if replica else restore_as_owner.restore
        # One test's fixtures may run in another thread than the next one's.
        self._lock = threading.Lock()
        self._connection = connections.connect(url, "restore")
        try:
            _prepare(self._connection, replica=replica, timeout=timeout)
            relations = catalogue.relations(self._connection, coverage)
            self._baseline = baseline.record(self._connection, relations)
            self._detector: ChangeDetector = Probes(self._connection, self._baseline)
        except BaseException:
            self._connection.close()
            raise

    def restore(self) -> Restored:
        """Put back whatever was committed since the last restore, and log what it was.

        Raises:
            RestoreBlockedError: Another session holds a lock.
            RestoreError: It cannot be put back.
        """
        with self._lock:
            try:
                changes = self._detector.changes()
                if not changes:
                    _log.debug("nothing to put back")
                    return Restored()
                restored = self._restore(self._connection, self._baseline, changes)
                self._detector.mark(changes)
            except psycopg.errors.LockNotAvailable:
                raise blockers.explain(self._connection, self._timeout) from None
        _log.info("put back %s", restored)
        return restored

    def close(self) -> None:
        """End the connection and give the baseline up."""
        self._connection.close()
        self._baseline.close()


def _prepare(connection: Connection, *, replica: bool, timeout: float) -> None:
    """Set what holds for all restores once: changing the replication role empties the connection's plan cache."""
    settings = {
        "lock_timeout": f"{round(timeout * 1000)}ms",
        # The database may have settings of its own, meant for the application.
        "statement_timeout": "0",
        "idle_session_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "row_security": "off",
        # Rows are kept as text, which must say all there is to say about a value.
        "extra_float_digits": "3",
        "datestyle": "ISO",
        "intervalstyle": "postgres",
        # A probe names hundreds of relations and takes less time than compiling it would.
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",
    }
    if replica:
        settings["session_replication_role"] = "replica"
    with connection.pipeline():
        for name, value in settings.items():
            connection.execute(sql.SQL("SET {} TO {}").format(sql.Identifier(name), sql.Literal(value)))
