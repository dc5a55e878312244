"""Connections that were opened beforehand, and are handed to an engine when it wants its first.

The first session in a new database takes some milliseconds longer than the next ones: it reads the catalogues from
files that nobody has read before.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress

from sqlalchemy import Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection

from pytest_pristine.postgres import urls
from pytest_pristine.postgres.connections import KEEPALIVE

# Drivers that take the parameters of libpq.
_LIBPQ = ("psycopg", "psycopg2")

# Much of what an engine asks of a new connection, so that the session has read the catalogues that it takes.
_BEFOREHAND = """
    SELECT version(), current_schema(), current_setting('standard_conforming_strings'), pg_backend_pid(),
           shobj_description((SELECT oid FROM pg_database WHERE datname = current_database()), 'pg_database'),
           (SELECT t.typarray FROM pg_type t WHERE t.oid = to_regtype('hstore'))
"""
_ALIVE = "SELECT 1"


class Opened:
    """A connection that waits to be handed on."""

    def __init__(self, url: URL) -> None:
        """Open one, as an engine for the same URL would.

        Args:
            url: The database.

        Raises:
            Exception: The driver's own, when there is none to be had.
        """
        url = urls.synchronous(url)
        dialect = url.get_dialect()
        driver = dialect.import_dbapi()
        positional, named = dialect().create_connect_args(url)
        alert = KEEPALIVE if url.get_driver_name() in _LIBPQ else {}
        self._pid = os.getpid()
        self._connection: DBAPIConnection | None = driver.connect(*positional, **{**alert, **named})
        if not self._ask(_BEFOREHAND):
            self.close()

    def is_alive(self) -> bool:
        """Whether it can be used still. A server that ends a session says so, where nobody has asked anything."""
        connection = self._connection
        if connection is None:
            return False
        try:
            return not select.select([connection.fileno()], [], [], 0)[0]
        except (AttributeError, TypeError, ValueError, OSError):
            return self._ask(_ALIVE)  # the driver does not tell its socket

    def hand_to(self, engine: Engine) -> None:
        """Have an engine take it as its first connection, which is its own from then on."""
        event.listen(engine, "do_connect", self._take)
        # Whoever disposes of the engine wants nobody to be connected, to rename the database say.
        event.listen(engine, "engine_disposed", self.close)

    def close(self, *_: object) -> None:
        """End it, unless it was taken. A fork leaves it to its parent."""
        connection = self._take()
        if connection is not None:
            with suppress(Exception):  # it is dead, or the server is
                connection.close()

    def _take(self, *_: object) -> DBAPIConnection | None:
        """Give it away, once; with nothing an engine opens one of its own."""
        if os.getpid() != self._pid:
            return None
        connection, self._connection = self._connection, None
        return connection

    def _ask(self, query: str) -> bool:
        if self._connection is None:
            return False
        try:
            cursor = self._connection.cursor()
            try:
                cursor.execute(query)
                cursor.fetchone()
            finally:
                cursor.close()
            self._connection.rollback()
        except Exception:  # noqa: BLE001 - each driver has errors of its own
            return False
        return True
