"""The engines that tests are given."""

from __future__ import annotations

import functools
import importlib.util
import json
import sys
import weakref
from typing import TYPE_CHECKING

from psycopg import sql
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from pytest_pristine import operating_system
from pytest_pristine.errors import DriverError, RestoreError
from pytest_pristine.postgres import drivers, marks
from pytest_pristine.postgres.connections import KEEPALIVE, SERVER_KEEPALIVE

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

# Connections that SQLAlchemy keeps open, of those that it may have; it closes the others when they are given back.
_KEPT = 5
# Drivers that take the parameters of libpq.
_LIBPQ = ("psycopg", "psycopg2")

# The key under which the pool's entry of a connection has the process id of its session.
PID = "pristine_pid"

# Drivers differ in how they take parameters: there are none.
_BEGIN = (
    sql.SQL("""
        SELECT shobj_description((SELECT oid FROM pg_database WHERE datname = current_database()), 'pg_database'),
               (SELECT count(set_config(key, value, false)) FROM json_each_text({})
                WHERE inet_client_addr() IS NOT NULL),
               pg_backend_pid()
    """)
    .format(sql.Literal(json.dumps(SERVER_KEEPALIVE)))
    .as_string(None)
)


def create(url: URL, connections: int, contested: str = "", *, hide_parameters: bool = False) -> Engine:
    """An engine whose pool is bounded, and which a fork of this process can use.

    Args:
        url: The database.
        connections: How many it may have at a time.
        contested: The id of our run, where another run may have taken the database since; see `Workspace`. A
            connection to it then raises `RestoreError`.
        hide_parameters: Leave the parameters of statements out of its errors.
    """
    kept, driver = min(_KEPT, connections), drivers.synchronous(url)
    engine = create_engine(
        drivers.url_for(driver, url),
        pool_size=kept,
        max_overflow=connections - kept,
        hide_parameters=hide_parameters,
        connect_args=_arguments(driver, url),
    )
    _guard(engine, contested)
    return engine


def create_async(
    url: URL, driver: str, connections: int, contested: str = "", *, hide_parameters: bool = False
) -> AsyncEngine:
    """An asynchronous engine that works in whatever event loop uses it; see `LoopPool`.

    Args:
        url: The database.
        driver: `psycopg` or `asyncpg`.
        connections: How many connections each loop may have at a time.
        contested: As for `create`.
        hide_parameters: The same.

    Raises:
        DriverError: The driver, or what SQLAlchemy needs for it, is not installed.
    """
    drivers.check_installed(driver)
    if importlib.util.find_spec("greenlet") is None:
        raise DriverError(
            "greenlet, which SQLAlchemy's asynchronous engines need",
            f"no such module for {sys.executable}",
            ['pip install "pytest-pristine[asyncio]"', "or: pip install greenlet"],
        )
    from sqlalchemy.ext.asyncio import create_async_engine  # most runs need none

    from pytest_pristine.postgres.loop_pool import LoopPool  # the same

    engine = create_async_engine(
        drivers.url_for(driver, url),
        poolclass=LoopPool,
        pool_size=min(_KEPT, connections),
        max_overflow=connections - min(_KEPT, connections),
        hide_parameters=hide_parameters,
        connect_args=_arguments(driver, url),
    )
    _guard(engine.sync_engine, contested)
    return engine


def _arguments(driver: str, url: URL) -> dict[str, object]:
    """What the driver is told besides the URL: a test does not wait for hours for a server that was cut off."""
    alert = KEEPALIVE if driver in _LIBPQ else {}
    return {name: value for name, value in alert.items() if name not in url.query} | drivers.arguments(driver, url)


def _guard(engine: Engine, contested: str) -> None:
    event.listen(engine, "connect", functools.partial(_begin, contested))
    # A fork must not speak on the connections of its parent, nor end them.
    alive, parents = weakref.ref(engine), list[Pool]()

    def forget() -> None:
        forked = alive()
        if forked is not None:
            parents.append(forked.pool)
            forked.dispose(close=False)

    operating_system.after_fork_in_child(forget)


def _begin(contested: str, connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    """Have the server end the session when we are cut off, and refuse a database that another run works in."""
    cursor = connection.cursor()
    try:
        cursor.execute(_BEGIN)
        row = cursor.fetchone()
    finally:
        cursor.close()
    connection.commit()
    entry.info[PID] = None if row is None else row[2]
    mark = None if row is None else marks.read(row[0])
    # A test may have written anything into the COMMENT.
    if contested and mark is not None and mark.run not in ("", contested):
        connection.close()  # the pool does not know of it yet
        raise RestoreError(
            "the database of this run",
            f"the run {mark.run} has taken it over, while this one had no connection. Nothing was touched",
            ["see the server's log for the reason why the connections ended, and run the tests again"],
        )
