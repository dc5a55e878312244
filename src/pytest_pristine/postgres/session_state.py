"""What a test leaves in the sessions of an engine's pool: settings, temporary tables, listening, cursors, a role.

Nobody can ask another session for these, and to undo them in it would also undo what the project has set when it
connected. So a session in which something may have been left is ended, and the pool opens another one when it needs it.
It is told by the statements that were run, and by whether somebody was given the driver's own connection. The others
are not even asked.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.base import OptionEngine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool

from pytest_pristine.postgres.loop_pool import DISCARD, LoopPool

# The key under which a connection has that something may have been left in its session.
LEFT = "pristine_left"

# How a statement begins that leaves something. What is set LOCAL ends by itself.
_BEGINNING = re.compile(
    r"""
    (?:\s|--[^\n]*\n|/\*.*?\*/)*
    (?: SET (?:\s|/\*|--) (?! \s*(?:LOCAL|TRANSACTION|CONSTRAINTS)\b )
      | (?:RESET|DISCARD|LISTEN|UNLISTEN|DEALLOCATE|LOAD|DO|CALL)\b
      | PREPARE (?:\s|/\*|--) (?! \s*TRANSACTION\b ) )
    """,
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
# What does so anywhere, and words without which it is not there. Advisory locks are missing: a restore sees them, and
# says whose they were.
_ANYWHERE = re.compile(
    r"""
    \b(?: set_config \s*\( (?! [^()]* ,\s*true\s*\) ) | setseed\s*\( | dblink_connect | pg_temp\b
        | (?:CREATE|LOCAL|GLOBAL|REPLACE|INTO) \s+ TEMP(?:ORARY)?\b | WITH\s+HOLD\b )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WORDS = ("set_config", "setseed", "dblink_connect", "temp", "hold")
# Statements whose verdict is remembered.
_REMEMBERED = 1024
# Frames up to the one of SQLAlchemy that wants a connection of the pool.
_NEAR = 10
# Those who may have the driver's connection without leaving anything in it.
_TRUSTED = ("sqlalchemy.", "pytest_pristine.")


@functools.lru_cache(maxsize=_REMEMBERED)
def leaves(statement: str) -> bool:
    """Whether a statement may leave something in its session that outlives its transaction."""
    place = 0
    while place >= 0:
        if _BEGINNING.match(statement, place):
            return True
        place = statement.find(";", place) + 1 or -1
    lower = statement.lower()
    return any(word in lower for word in _WORDS) and _ANYWHERE.search(statement) is not None


@contextlib.contextmanager
def idle(pool: QueuePool) -> Iterator[list[PoolProxiedConnection]]:
    """The connections of a pool that nobody uses, for us. They are given back in the end, and nothing is left in them.

    Each is taken from the pool: another thread may want one meanwhile.
    """
    taken: list[PoolProxiedConnection] = []
    try:
        for _ in range(pool.checkedin()):
            if not pool.checkedin():
                break
            taken.append(pool.connect())
        yield taken
    finally:
        for each in taken:
            each.close()


class SessionState:
    """Knows in which sessions of engines something may have been left.

    Attributes:
        engines: The engines.
    """

    def __init__(self) -> None:
        self.engines: list[Engine] = []
        self._is_any = False

    def attend(self, engine: Engine) -> None:
        """Listen to what is done with the connections of an engine. Nothing has been connected yet."""
        self.engines.append(engine)
        event.listen(engine, "before_cursor_execute", self._hear)
        event.listen(engine, "checkout", self._take)
        # The connections of this engine, and of those that share its pool.
        watched = type("WatchedConnection", (_Watched,), {"state": self})
        options = type("WatchedOptionEngine", (OptionEngine,), {"_connection_cls": watched})
        options._option_cls = engine._option_cls = options  # type: ignore[attr-defined]  # noqa: SLF001 - no public way
        engine._connection_cls = watched  # noqa: SLF001 - the same

    def note(self, info: dict[Any, Any]) -> None:
        """Note that something may have been left in a session."""
        info[LEFT] = self._is_any = True

    def renew(self) -> int:
        """End the idle sessions in which something may have been left; gives how many."""
        if not self._is_any:
            return 0
        self._is_any = False
        return sum(map(self._renew, self.engines))

    def _renew(self, engine: Engine) -> int:
        pool = engine.pool
        if isinstance(pool, LoopPool):
            left = [entry for entry in pool.entries if entry.info.get(LEFT)]
            pool.drop(left)
            # One that is still out is looked at again after the next test.
            self._is_any = self._is_any or any(entry.in_use for entry in left)
            return len(left)
        return self._renew_idle(pool) if isinstance(pool, QueuePool) else 0

    def _renew_idle(self, pool: QueuePool) -> int:
        with idle(pool) as taken:
            left = [each for each in taken if each.info.get(LEFT)]
            for each in left:
                _discard(each)
                each.invalidate()
        self._is_any = self._is_any or pool.checkedout() > 0
        return len(left)

    def _hear(self, connection: Connection, _cursor: object, statement: str, *_: object) -> None:
        if leaves(statement):
            self.note(connection.info)

    def _take(self, _connection: object, entry: ConnectionPoolEntry, _proxy: object) -> None:
        if not _is_for_connection(sys._getframe(1)):  # noqa: SLF001 - the documented way
            self.note(entry.info)


class _Watched(Connection):
    """A connection that notes when somebody asks for the driver's.

    Attributes:
        state: Where.
    """

    state: SessionState

    @property
    def connection(self) -> PoolProxiedConnection:
        """The driver's connection, as the pool lends it."""
        found = super().connection
        # In a greenlet of an asynchronous connection there is nobody.
        caller = sys._getframe().f_back  # noqa: SLF001 - the documented way
        if caller is None or not str(caller.f_globals.get("__name__")).startswith(_TRUSTED):
            self.state.note(found.info)
        return found


def _is_for_connection(frame: FrameType | None) -> bool:
    """Whether it is SQLAlchemy's `Connection` that wants a connection of the pool, or we: not somebody else."""
    for _ in range(_NEAR):
        if frame is None:
            return False
        name = frame.f_globals.get("__name__")
        if name == __name__ or (name == "sqlalchemy.engine.base" and frame.f_code.co_name == "__init__"):
            return True
        frame = frame.f_back
    return False


def _discard(proxy: PoolProxiedConnection) -> None:
    # Whatever becomes of it, the session is ended.
    with contextlib.suppress(Exception):
        cursor = proxy.cursor()
        cursor.execute(DISCARD)
        cursor.close()
        proxy.commit()
