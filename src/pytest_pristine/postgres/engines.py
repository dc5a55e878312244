"""The engine that tests are given."""

from __future__ import annotations

import functools
import json
import weakref

from psycopg import sql
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from pytest_pristine import operating_system
from pytest_pristine.errors import RestoreError
from pytest_pristine.postgres import marks, urls
from pytest_pristine.postgres.connections import KEEPALIVE, SERVER_KEEPALIVE

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
    kept, url = min(_KEPT, connections), urls.synchronous(url)
    # A test does not wait for hours for a server that was cut off.
    alert = KEEPALIVE if url.get_driver_name() in _LIBPQ else {}
    engine = create_engine(
        url,
        pool_size=kept,
        max_overflow=connections - kept,
        hide_parameters=hide_parameters,
        connect_args={name: value for name, value in alert.items() if name not in url.query},
    )
    event.listen(engine, "connect", functools.partial(_begin, contested))
    # A fork must not speak on the connections of its parent, nor end them.
    alive = weakref.ref(engine)

    def forget() -> None:
        forked = alive()
        if forked is not None:
            forked.dispose(close=False)

    operating_system.after_fork_in_child(forget)
    return engine


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
