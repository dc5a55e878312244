"""A pool of an asynchronous engine that has connections for each event loop apart.

A connection of asyncio's belongs to the loop that opened it. Tests have many loops: one of their own, one of their
module, one in the thread of a test client. Each gets connections of its own, which are closed in it when it ends, and
none is ever lent to another.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any

from psycopg import pq
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, Pool, PoolProxiedConnection
from sqlalchemy.util import greenlet_spawn

from pytest_pristine.errors import DriverError

# Seconds to wait for a connection that others have, and for an answer on one that nobody has.
_PATIENCE = 30.0
# Drops what others may stumble over before a session ends, which it does when it finds the time.
DISCARD = "DISCARD TEMP"


class _OfLoop(AsyncAdaptedQueuePool):
    """The connections of one loop: how many there are, and which are idle.

    Attributes:
        loop: The loop.
        entries: All that were made, as long as somebody has them.
    """

    def __init__(self, pool: LoopPool, loop: asyncio.AbstractEventLoop, pool_size: int, max_overflow: int) -> None:
        super().__init__(
            pool._creator,  # noqa: SLF001 - it must be given one
            pool_size=pool_size,
            max_overflow=max_overflow,
            timeout=_PATIENCE,
            dialect=pool._dialect,  # noqa: SLF001 - the same
        )
        # As long as it is known here no other loop has its id.
        self.loop = loop
        self.entries = weakref.WeakSet[Any]()
        self._make = pool._create_connection  # noqa: SLF001 - what is made belongs to the pool that all see
        self.farewells: set[Callable[[], Awaitable[None]]] = set()
        self._ending: AsyncGenerator[None, None] | None = None

    def _create_connection(self) -> ConnectionPoolEntry:
        entry = self._make()
        self.entries.add(entry)
        return entry

    def attend(self) -> None:
        """Have the connections closed in the loop when it shuts its asynchronous generators down, as it ends.

        That is what asyncio's own runner does last, and those of pytest-asyncio and anyio, whatever the loop is.
        """
        self._ending = self._close_at_end()
        with contextlib.suppress(StopIteration):
            self._ending.asend(None).send(None)

    async def _close_at_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.close()

    async def close(self) -> None:
        """In the loop: close all connections, also those that somebody forgot to give back."""
        try:
            while self.farewells:
                await self.farewells.pop()()
        finally:
            await greenlet_spawn(self.dispose)
            for entry in _open(self.entries):
                _end(entry)
        # A transport of asyncio's ends when the loop goes round once more.
        await asyncio.sleep(0)

    def drop(self, entries: Iterable[Any]) -> None:
        """From anywhere: end those of some connections that are idle."""
        if self.loop.is_running() and self.loop is not _running():
            # It is another thread's, which may want one at this moment.
            self.loop.call_soon_threadsafe(_drop, entries)
        elif _is_idle(self.loop) and not self.loop.is_closed():
            self.loop.run_until_complete(_close(entries))
        else:
            _drop(entries)


class LoopPool(Pool):
    """Lends connections that belong to the running loop."""

    _is_asyncio = True

    def __init__(
        self,
        creator: Any,  # noqa: ANN401 - SQLAlchemy does not export its type
        pool_size: int = 5,
        max_overflow: int = 10,
        **further: Any,  # noqa: ANN401 - the same
    ) -> None:
        """Make an empty pool.

        Args:
            creator: Opens a connection.
            pool_size: How many each loop keeps open.
            max_overflow: How many more each can have at a time.
            further: What every pool takes.
        """
        super().__init__(creator, **further)
        self._pool_size, self._max_overflow = pool_size, max_overflow
        self._loops: dict[int, _OfLoop] = {}
        self._owners: weakref.WeakKeyDictionary[Any, _OfLoop] = weakref.WeakKeyDictionary()
        # Loops run in several threads.
        self._lock = threading.Lock()

    @property
    def entries(self) -> list[Any]:
        """What is there of connections, whatever loop they belong to."""
        return [entry for each in self._living() for entry in _open(each.entries)]

    def drop(self, entries: Iterable[Any] | None = None) -> None:
        """Close idle connections, of whatever loop.

        Args:
            entries: Those of them that are to be closed; all when they are not given.
        """
        wanted = None if entries is None else set(entries)
        for each in self._living():
            found = _open(each.entries)
            each.drop([entry for entry in found if wanted is None or entry in wanted])

    def before_end(self, farewell: Callable[[], Awaitable[None]]) -> Callable[[], None]:
        """Have something done in the running loop before its connections are closed, as it ends.

        Returns:
            What has it not done any more.
        """
        farewells = self._of_running_loop().farewells
        farewells.add(farewell)
        return functools.partial(farewells.discard, farewell)

    def abandon(self, lent: PoolProxiedConnection) -> None:
        """End a connection that is out, and take it back, though its loop was closed.

        Args:
            lent: The connection, as it was lent.
        """
        record = lent._connection_record  # noqa: SLF001 - no public way
        reference = record.fairy_ref
        _end(record)
        # It is given back with this, and whoever listens hears of it.
        record.fairy_ref = reference
        lent.invalidate()

    def close(self) -> None:
        """Close all connections, in their loops where those can be run here."""
        for each in self._living():
            if _is_idle(each.loop):
                each.loop.run_until_complete(each.close())
            else:
                each.drop(_open(each.entries))
        self._loops.clear()

    def dispose(self) -> None:
        """Close the idle connections, as `Engine.dispose` wants it."""
        running = _running()
        for each in self._living():
            if each.loop is running:
                each.dispose()
            else:
                each.drop(_open(each.entries))

    def recreate(self) -> LoopPool:
        """An empty pool like this one."""
        return type(self)(
            self._creator,
            pool_size=self._pool_size,
            max_overflow=self._max_overflow,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            pre_ping=self._pre_ping,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )

    def status(self) -> str:
        """What there is, for people."""
        entries = self.entries
        used = sum(entry.in_use for entry in entries)
        return f"Loops: {len(self._living())} Connections: {len(entries)} Checked out: {used}"

    def _do_get(self) -> ConnectionPoolEntry:
        own = self._of_running_loop()
        entry = own._do_get()  # noqa: SLF001 - as a pool does it
        self._owners[entry] = own
        return entry

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        own = self._owners.get(record)
        if own is None or own.loop.is_closed():
            _end(record)
            return
        own._do_return_conn(record)  # noqa: SLF001 - as above

    def _of_running_loop(self) -> _OfLoop:
        loop = _running()
        if loop is None:
            raise _no_loop()
        own = self._loops.get(id(loop))
        if own is None:
            _check(loop, str(getattr(self._dialect, "driver", "")))
            self._living()
            own = _OfLoop(self, loop, self._pool_size, self._max_overflow)
            own.attend()
            with self._lock:
                self._loops[id(loop)] = own
        return own

    def _living(self) -> list[_OfLoop]:
        """Those of loops that have not ended; what is left of the others is removed."""
        with self._lock:
            for key, each in list(self._loops.items()):
                if each.loop.is_closed():
                    for entry in _open(each.entries):
                        _end(entry)
                    del self._loops[key]
            return list(self._loops.values())


def _drop(entries: Iterable[Any]) -> None:
    for entry in entries:
        if not entry.in_use:
            _end(entry)


async def _close(entries: Iterable[Any]) -> None:
    """In the loop: the same, once their sessions have nothing temporary any more."""
    for entry in entries:
        if not entry.in_use:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(entry.driver_connection.execute(DISCARD), _PATIENCE)
            with contextlib.suppress(Exception):
                await asyncio.wait_for(entry.driver_connection.close(), _PATIENCE)
            _end(entry)


def _end(entry: Any) -> None:  # noqa: ANN401 - SQLAlchemy does not export its type
    """End the connection of an entry at once, whether its loop runs or not. What was lent is not cleaned up more."""
    connection, entry.dbapi_connection, entry.fairy_ref = entry.driver_connection, None, None
    pgconn = getattr(connection, "pgconn", None)
    if pgconn is not None:  # psycopg's
        if pgconn.transaction_status == pq.TransactionStatus.IDLE:
            pgconn.exec_(DISCARD.encode())
        pgconn.finish()
        return
    transport = getattr(connection, "_transport", None)
    if transport is None or connection.is_closed():
        return
    # The server ends the session at once, also when the loop does not run that would close the transport.
    with contextlib.suppress(OSError):
        transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
    try:
        connection.terminate()
    except RuntimeError:
        _close_without_loop(transport)


def _close_without_loop(transport: Any) -> None:  # noqa: ANN401 - of whatever loop
    """Close what a loop left open that was closed without a word: its file, and what would warn of it."""
    close: Callable[[None], None] | None = getattr(transport, "_call_connection_lost", None)
    with contextlib.suppress(Exception):
        if close is not None:
            close(None)


def _open(entries: weakref.WeakSet[Any]) -> list[Any]:
    return [entry for entry in list(entries) if entry.dbapi_connection is not None]


def _running() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _is_idle(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop can be run here for a moment."""
    return not loop.is_running() and _running() is None


def _check(loop: asyncio.AbstractEventLoop, driver: str) -> None:
    """Check that a driver works in a loop.

    Raises:
        DriverError: It does not.
    """
    name = type(loop).__name__
    if driver.startswith("psycopg") and name.startswith("Proactor"):
        raise DriverError(
            "an event loop in which psycopg can wait for its sockets",
            f"a {name}, the usual one on Windows",
            [
                "run the tests in a SelectorEventLoop, as pytest-asyncio does for a fixture event_loop_policy",
                "or have asyncpg connect, which works in both: pristine_async_driver = asyncpg",
            ],
        )


def _no_loop() -> DriverError:
    sought = "an event loop of asyncio for a connection of postgres_async_engine"
    if _is_in_trio():
        return DriverError(
            sought,
            "trio: SQLAlchemy's asynchronous engines work with asyncio alone",
            [
                "run the test on asyncio: @pytest.mark.parametrize('anyio_backend', ['asyncio'])",
                "or all of them, by a fixture anyio_backend that returns 'asyncio'",
            ],
        )
    return DriverError(sought, "none that runs", ["use postgres_engine where no loop runs: in plain functions, say"])


def _is_in_trio() -> bool:
    """Whether a task of trio's runs. Whoever has one has imported it."""
    trio = sys.modules.get("trio")
    if trio is None:
        return False
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True
