"""Isolation: the database is pristine, a test writes what it likes, the database is pristine again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Protocol

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine.errors import RestoreError, UnreachableError
from pytest_pristine.isolation import baseline, blockers, catalogue, restore, restore_as_owner
from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import Coverage, Relation
from pytest_pristine.isolation.changes import ChangeDetector, Changes
from pytest_pristine.isolation.probes import Probes
from pytest_pristine.isolation.restore import Restored
from pytest_pristine.postgres import connections
from pytest_pristine.postgres.connections import Connection

# Milliseconds that Postgres can wait for a lock at most.
_LONGEST_TIMEOUT = 2**31 - 1

_log = logging.getLogger("pytest_pristine")


class Restorer(Protocol):
    """A way to put changed relations back."""

    def __call__(self, connection: Connection, baseline: Baseline, changes: Changes, /) -> Restored:
        """Put everything that changed back. The caller is in a transaction."""


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
        self._url = url
        self._replica = replica
        self._timeout = timeout
        self._restore: Restorer = restore.restore if replica else restore_as_owner.restore
        # One test's fixtures may run in another thread than the next one's.
        self._lock = threading.Lock()
        self._ended = False
        self._connection = self._connect()
        relations: list[Relation] = []
        try:
            relations = catalogue.relations(self._connection, coverage)
            self._baseline = baseline.record(self._connection, relations)
            self._detector: ChangeDetector = Probes(self._connection, self._baseline)
        except psycopg.errors.LockNotAvailable:
            error = blockers.explain(self._connection, relations, timeout, readers=False)
            self._connection.close()
            raise error from None
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
                restored = self._detect_and_restore()
            except psycopg.OperationalError:
                if self._ended or not self._connection.closed:
                    raise
                # Somebody ended our session, or the server. What it had begun was rolled back.
                self._reconnect()
                restored = self._detect_and_restore()
        if restored:
            _log.info("put back %s", restored)
        else:
            _log.debug("nothing to put back")
        return restored

    def _detect_and_restore(self) -> Restored:
        relations: Sequence[Relation] = self._baseline.relations
        changes = Changes()
        try:
            changes = self._detector.changes()
            if not changes:
                return Restored()
            relations = (*changes.tables, *changes.views, *changes.sequences)
            # Signed before it is committed: what others write from then on is a change.
            with self._connection.transaction():
                restored = self._restore(self._connection, self._baseline, changes)
                self._detector.mark(restored.rewritten)
        except psycopg.errors.LockNotAvailable:
            # Reading a materialized view stands in the way of refreshing it, reading a table in that of altering it.
            readers = not self._replica or bool(changes.views) or any(t.oid in self._baseline.armed for t in relations)
            raise blockers.explain(self._connection, relations, self._timeout, readers=readers) from None
        except psycopg.ProgrammingError as error:
            raise RestoreError(
                f"to put the database {self._url.database!r} back",
                f"a schema that a test has changed: {error}",
                ["schema changes that a test commits are not undone: give such a test a database of its own"],
            ) from None
        restore.cut_short(self._connection, restored.emptied)
        return restored

    def _connect(self) -> Connection:
        connection = connections.connect(self._url, "restore")
        try:
            _prepare(connection, replica=self._replica, timeout=self._timeout)
        except BaseException:
            connection.close()
            raise
        return connection

    def _reconnect(self) -> None:
        try:
            self._connection = self._detector.connection = self._connect()
        except UnreachableError as error:
            raise RestoreError(
                f"to put the database {self._url.database!r} back",
                f"our connection was ended, and there is no other to be had: {error.found}",
                ["see the server's log for the reason"],
            ) from None

    def close(self) -> None:
        """End the connection and give the baseline up."""
        self._ended = True
        self._connection.close()
        self._baseline.close()


def _prepare(connection: Connection, *, replica: bool, timeout: float) -> None:
    """Set what holds for all restores once: changing the replication role empties the connection's plan cache."""
    settings = {
        "lock_timeout": f"{min(max(round(timeout * 1000), 1), _LONGEST_TIMEOUT)}ms",  # 0 would be for ever
        # The database may have settings of its own, meant for the application.
        "statement_timeout": "0",
        "idle_session_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "row_security": "off",
        # Rows are kept as text, which must say all there is to say about a value.
        "client_encoding": "UTF8",
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
