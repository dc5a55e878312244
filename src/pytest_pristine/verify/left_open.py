"""Sessions that are left in the database when all is over, and the tests that they are from."""

from __future__ import annotations

import gc
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence

from sqlalchemy.engine import URL
from sqlalchemy.pool import ConnectionPoolEntry

from pytest_pristine import clock
from pytest_pristine.postgres import connections, sessions
from pytest_pristine.postgres.sessions import Open

# Seconds that sessions are given to end which were closed just now.
_PATIENCE, _INTERVAL = 0.5, 0.02


def at_end(url: URL, begun: Sequence[tuple[float, str]], known: Collection[int]) -> list[str]:
    """Sessions in a database that are none of ours, in words.

    Args:
        url: The database.
        begun: When each test began, in seconds since the epoch, with its name, in this order.
        known: Process ids of sessions that are told of elsewhere.
    """
    with connections.connect(url, "look") as connection:
        ahead = sessions.server_time(connection) - clock.utc().timestamp()
        left = remaining(lambda: sessions.open_in(connection), known)
    return [_told(each, begun, ahead) for each in left]


def remaining(look: Callable[[], Sequence[Open]], known: Collection[int]) -> list[Open]:
    """Sessions that are none of ours, and idle in no pool of this process. They are given some time to end.

    Args:
        look: Gives the sessions that are open.
        known: Process ids of sessions that are told of elsewhere.
    """
    deadline = clock.now() + _PATIENCE
    left = _unknown(look(), known)
    while left and clock.now() < deadline:
        time.sleep(_INTERVAL)
        left = _unknown(look(), known)
    pooled = _pooled() if left else set()
    return [each for each in left if each.in_transaction_since is not None or each.session.pid not in pooled]


def _pooled() -> set[int]:
    """Process ids of the sessions that pools of this process keep for the next who wants one: nobody forgot them."""
    found = set()
    for entry in gc.get_objects():
        if issubclass(type(entry), ConnectionPoolEntry) and not entry.in_use and entry.dbapi_connection is not None:
            connection = entry.driver_connection
            # psycopg has the one, psycopg2 and asyncpg the others.
            pid = getattr(getattr(connection, "info", None), "backend_pid", None)
            asking = getattr(connection, "get_backend_pid", None) or getattr(connection, "get_server_pid", None)
            pid = asking() if pid is None and asking is not None else pid
            if pid is not None:
                found.add(int(pid))
    return found


def _unknown(found: Sequence[Open], known: Collection[int]) -> list[Open]:
    return [each for each in found if each.session.pid not in known and not _is_parked(each)]


def _is_parked(each: Open) -> bool:
    """Whether a pooler keeps a session whose client has gone: it has it forget everything."""
    return each.in_transaction_since is None and each.query.rstrip("; ").upper() == "DISCARD ALL"


def _told(left: Open, begun: Sequence[tuple[float, str]], ahead: float) -> str:
    test = _test_at((left.in_transaction_since or left.since) - ahead, begun)
    return f"{test} left {described(left)}"


def described(left: Open) -> str:
    """What a session is, in words."""
    what = "a connection in a transaction" if left.in_transaction_since is not None else "a connection open"
    return f"{what}: {left.session}" + (f", last query: {left.query}" if left.query else "")


def _test_at(moment: float, begun: Sequence[tuple[float, str]]) -> str:
    """The test that had begun last at a moment."""
    place = bisect_right(begun, moment, key=lambda span: span[0]) - 1
    return begun[place][1] if place >= 0 else "something before the first test"
