"""What sessions count: those of ours nothing, those of the tests all, and at once when they are asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.pool import QueuePool

from pytest_pristine.postgres import session_state
from pytest_pristine.postgres.capabilities import Capabilities
from pytest_pristine.postgres.connections import Connection

FIRST_WITH_FLUSH = 15
FLUSH = "SELECT pg_stat_force_next_flush()"
_TRACK = "SET track_functions = 'all'"

# Whose calls of functions are counted.
OF_ALL, OF_OURS, OF_NOBODY = "all", "ours", ""


def make_uncounted(connection: Connection, can: Capabilities) -> None:
    """Have a session of ours count nothing, where the role may say so."""
    if can.superuser:
        connection.execute("SET track_counts = off")
        connection.execute("SET track_functions = 'none'")
    # Nobody waits for us: a table that a test has locked is passed over.
    connection.execute("SET lock_timeout = '20ms'")


def counts_functions(connection: Connection, can: Capabilities) -> str:
    """Whose calls of functions are counted."""
    row = connection.execute("SELECT reset_val FROM pg_settings WHERE name = 'track_functions'").fetchone()
    if row is not None and row[0] == "all":
        return OF_ALL
    return OF_OURS if can.superuser else OF_NOBODY


def count_functions(engine: Engine, can: Capabilities) -> None:
    """Have each session of an engine count calls of functions."""
    if can.superuser:
        event.listen(engine, "connect", _count_functions)


def _count_functions(connection: Any, _: object) -> None:  # noqa: ANN401 - of whatever driver
    cursor = connection.cursor()
    try:
        cursor.execute(_TRACK)
    finally:
        cursor.close()
    connection.commit()


def of_pools(engines: Iterable[Engine]) -> int:
    """How many sessions the pools of engines have."""
    return sum(
        engine.pool.checkedin() + engine.pool.checkedout() for engine in engines if isinstance(engine.pool, QueuePool)
    )


def flush(engine: Engine) -> bool:
    """Have the idle sessions of an engine tell what they counted; gives whether there are no others."""
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        return False
    with session_state.idle(pool) as taken:
        is_all = pool.checkedout() == len(taken)
        for each in taken:
            _flush(each.dbapi_connection)
    return is_all


def _flush(connection: Any) -> None:  # noqa: ANN401 - of whatever driver
    pgconn = getattr(connection, "pgconn", None)
    # A session that somebody ended has told at its end.
    with contextlib.suppress(Exception):
        if pgconn is not None:
            pgconn.exec_(FLUSH.encode())
            return
        cursor = connection.cursor()
        try:
            cursor.execute(FLUSH)
        finally:
            cursor.close()
            # What is counted is told between transactions.
            connection.rollback()


def log_prefix(connection: Connection) -> str:
    """What the server writes before each line of its log."""
    row = connection.execute("SHOW log_line_prefix").fetchone()
    return str(row and row[0])
