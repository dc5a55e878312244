"""Advisory locks: how runs, on one machine or on many, keep out of each other's way.

Postgres keeps advisory locks apart by database: two sessions meet only when they are connected to the same one.
All of ours are taken on the maintenance database.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import errors, sql

from pytest_pristine.postgres.connections import Connection

_KEY = "hashtextextended('pytest-pristine:' || %s, 0)"
_TAKE = sql.SQL("SELECT pg_advisory_lock({})").format(sql.SQL(_KEY))
_TRY = sql.SQL("SELECT pg_try_advisory_lock({})").format(sql.SQL(_KEY))
_RELEASE = sql.SQL("SELECT pg_advisory_unlock({})").format(sql.SQL(_KEY))


def take(connection: Connection, subject: str) -> None:
    """Wait for the lock and hold it until the connection ends."""
    connection.execute(_TAKE, [subject])


def try_take(connection: Connection, subject: str) -> bool:
    """Hold the lock until it is released or the connection ends, if nobody else does."""
    return connection.execute(_TRY, [subject]).fetchone() == (True,)


def take_within(connection: Connection, subject: str, seconds: float) -> bool:
    """Hold the lock until it is released or the connection ends, if it becomes free within some seconds."""
    try:
        with connection.transaction():
            milliseconds = max(round(seconds * 1000), 1)  # 0 would be for ever
            connection.execute(sql.SQL("SET LOCAL lock_timeout TO {}").format(sql.Literal(f"{milliseconds}ms")))
            take(connection, subject)
    except errors.LockNotAvailable:
        return False
    return True


def release(connection: Connection, subject: str) -> None:
    """Give the lock back."""
    connection.execute(_RELEASE, [subject])


@contextmanager
def held(connection: Connection, subject: str) -> Iterator[None]:
    """Hold the lock, waiting for it first."""
    take(connection, subject)
    try:
        yield
    finally:
        if not connection.closed:
            release(connection, subject)


@contextmanager
def held_if_free(connection: Connection, subject: str) -> Iterator[bool]:
    """Hold the lock if nobody else does; gives whether it is held."""
    taken = try_take(connection, subject)
    try:
        yield taken
    finally:
        if taken and not connection.closed:
            release(connection, subject)


def lease(run: str) -> str:
    """The subject of the lock that a run holds as long as it lives."""
    return f"run:{run}"


def build(template: str) -> str:
    """The subject of the lock under which a template is built, cloned and dropped."""
    return f"template:{template}"


def spare(database: str) -> str:
    """The subject of the lock under which a spare is taken or dropped."""
    return f"spare:{database}"


def target(database: str) -> str:
    """The subject of the lock of the run that works in a database the user named."""
    return f"target:{database}"
