"""Advisory locks: how runs, on one machine or on many, keep out of each other's way.

Postgres keeps advisory locks apart by database: two sessions meet only when they are connected to the same one.
Those on which somebody waits are taken on the maintenance database. A lease is held in common by all sessions of a run,
wherever they are connected: as long as any of them lives, the run does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import errors, sql

from pytest_pristine.postgres.connections import Connection

_KEY = "hashtextextended('pytest-pristine:' || %s, 0)"
_TAKE = sql.SQL("SELECT pg_advisory_lock({})").format(sql.SQL(_KEY))
_TRY = sql.SQL("SELECT pg_try_advisory_lock({})").format(sql.SQL(_KEY))
_JOIN = sql.SQL("SELECT pg_advisory_lock_shared({})").format(sql.SQL(_KEY))
_RELEASE = sql.SQL("SELECT pg_advisory_unlock({})").format(sql.SQL(_KEY))


def take(connection: Connection, subject: str) -> None:
    """Wait for the lock and hold it until the connection ends."""
    connection.execute(_TAKE, [subject])


def try_take(connection: Connection, subject: str) -> bool:
    """Hold the lock until it is released or the connection ends, if nobody else does."""
    return connection.execute(_TRY, [subject]).fetchone() == (True,)


def take_within(connection: Connection, subject: str, seconds: float) -> bool:
    """Hold the lock until it is released or the connection ends, if it becomes free within some seconds."""
    return _within(connection, _TAKE, subject, seconds)


def join_within(connection: Connection, subject: str, seconds: float) -> bool:
    """Hold the lock together with others who do, if nobody has it alone after some seconds; gives whether it is held.

    The connection may read values as text.
    """
    return _within(connection, _JOIN, subject, seconds)


def _within(connection: Connection, statement: sql.Composed, subject: str, seconds: float) -> bool:
    try:
        with connection.transaction():
            milliseconds = max(round(seconds * 1000), 1)  # 0 would be for ever
            connection.execute(sql.SQL("SET LOCAL lock_timeout TO {}").format(sql.Literal(f"{milliseconds}ms")))
            connection.execute(statement, [subject])
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


# Everybody may look at pg_locks. A key of 64 bits stands there in two halves.
_IS_HELD = sql.SQL("""
    WITH subject AS (SELECT {} AS key)
    SELECT EXISTS (
        SELECT FROM pg_locks, subject
        WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid <> pg_backend_pid()
          AND classid::bigint = (key >> 32) & 4294967295 AND objid::bigint = key & 4294967295)
""").format(sql.SQL(_KEY))


def is_held(connection: Connection, subject: str) -> bool:
    """Whether another session, connected to whatever database, holds the lock, alone or together with others."""
    return connection.execute(_IS_HELD, [subject]).fetchone() == (True,)


@contextmanager
def lapsed(connection: Connection, run: str) -> Iterator[bool]:
    """Take the lease of a run that is over, so that nobody else does; gives whether it is over."""
    with held_if_free(connection, lease(run)) as free:
        yield free and not is_held(connection, lease(run))


def lease(run: str) -> str:
    """The subject of the lock that the sessions of a run hold together as long as one of them lives."""
    return f"run:{run}"


def build(template: str) -> str:
    """The subject of the lock under which a template is built, cloned and dropped."""
    return f"template:{template}"


def spare(database: str) -> str:
    """The subject of the lock under which a spare is taken or dropped."""
    return f"spare:{database}"


def keeping(project: str) -> str:
    """The subject of the lock under which databases of failed tests are counted, and one more is kept."""
    return f"kept:{project}"


def target(database: str) -> str:
    """The subject of the lock of the run that works in a database the user named."""
    return f"target:{database}"
