"""The same for an asynchronous engine, whose connections belong to an event loop.

What a session does, it does in a greenlet of SQLAlchemy's, where the connection is used as any other. Only the end has
to be in the loop in which it began: before the loop ends, or when the test is over, whichever comes first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from pytest_pristine.isolation.rollback import Rollback
from pytest_pristine.postgres.loop_pool import LoopPool

# Seconds to wait for a loop that runs in another thread.
_PATIENCE = 30.0


def _nothing() -> None:
    """There is nothing to forget yet."""


class RollbackInLoop(Rollback):
    """A connection of an asynchronous engine in a transaction that is rolled back."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Take nothing yet.

        Args:
            engine: Gives the connection, in the loop that asks for it first.
        """
        super().__init__(engine.sync_engine)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._forget: Callable[[], None] = _nothing
        self._error_at_end: Exception | None = None

    @property
    def bind(self) -> Engine:
        """The engine, of which SQLAlchemy knows the asynchronous one."""
        return self._engine

    def finish(self, *, failed: bool = False, keep: bool = False) -> None:
        """Do it in the loop, from outside; or tell what was found when the loop ended."""
        self._forget()
        loop = self._loop
        if loop is not None and not loop.is_closed() and self.is_open:
            ending = greenlet_spawn(super().finish, failed=failed, keep=keep)
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(ending, loop).result(_PATIENCE)
            else:
                loop.run_until_complete(ending)
        elif self.is_open:
            self._abandon()
        if self._error_at_end is not None and not failed:
            raise self._error_at_end

    def _begin(self) -> None:
        pool = self._engine.pool
        if isinstance(pool, LoopPool):
            self._forget = pool.before_end(self._finish_in_loop)
        self._loop = asyncio.get_running_loop()
        super()._begin()

    async def _finish_in_loop(self) -> None:
        """As the loop ends. Whether the test has failed is not known yet, and nobody would hear of an error."""
        try:
            await greenlet_spawn(super().finish)
        except Exception as error:  # noqa: BLE001 - it is raised when the test is over
            self._error_at_end = error

    def _abandon(self) -> None:
        """End the connection of a loop that was closed without a word. Nothing can be asked on it any more."""
        pool = self._engine.pool
        if isinstance(pool, LoopPool) and self._connection is not None:
            pool.abandon(self._connection.connection)
        super().finish(failed=True)
