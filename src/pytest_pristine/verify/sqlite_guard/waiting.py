"""The place in the code when another thread opens SQLite for it: where somebody waits for that thread.

aiosqlite opens in a thread of its own, and an event loop has a pool of them. What waits is a task: the chain of what it
awaits leads from the test's coroutine to the future that the thread will answer.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator
from types import AsyncGeneratorType, CoroutineType, FrameType
from typing import Any

from pytest_pristine.verify.sqlite_guard import frames

# How often, and after how many seconds each, it is looked whether the task waits by now: the thread may be faster.
_LOOKS = 10
_PAUSE = 0.005
# Links of a chain, and tasks that wait for each other.
_LINKS = 100
_TASKS = 10


def waiter(opening: FrameType, thread: int) -> FrameType | None:
    """The innermost frame of the project that waits for a thread.

    Args:
        opening: The innermost frame of the thread that opens.
        thread: The number of the thread in which the test runs.
    """
    futures = list(_futures(opening))
    for look in range(_LOOKS if futures else 1):
        if look:
            time.sleep(_PAUSE)
        for future in futures:
            found = _of_future(future)
            if found is not None:
                return found
    return _of_thread(thread)


def _futures(opening: FrameType) -> Iterator[Any]:
    """The futures of an event loop that the frames of a thread will answer."""
    for frame in frames.outward(opening):
        for value in () if frames.is_code(frame) else tuple(frame.f_locals.values()):
            if _is_loops(value):
                yield value
            # run_in_executor: the pool's future passes its answer on to the loop's.
            kind = type(value).__name__
            work = value.future if kind == "_WorkItem" else value if kind == "Future" else None
            for callback in tuple(getattr(work, "_done_callbacks", None) or ()):
                cells = getattr(callback, "__closure__", None) or ()
                yield from (cell.cell_contents for cell in cells if _is_loops(cell.cell_contents))


def _is_loops(value: object) -> bool:
    # Of its type: a proxy may come to life when it is asked.
    return hasattr(type(value), "_asyncio_future_blocking")


def _of_future(future: Any) -> FrameType | None:  # noqa: ANN401 - any future of an event loop
    """Where the task that waits for a future was called, or the task that waits for that task."""
    import asyncio  # it is loaded: there is a future

    tasks = tuple(asyncio.all_tasks(future.get_loop()))
    for _ in range(_TASKS):
        waiting = [task for task in tasks if getattr(task, "_fut_waiter", None) is future]
        if not waiting:
            return None
        found = _innermost(list(_chain(waiting[0].get_coro())))
        if found is not None:
            return found
        future = waiting[0]
    return None


def _chain(awaitable: Any) -> Iterator[FrameType]:  # noqa: ANN401 - coroutines, generators, wrappers of them
    """The frames of what awaits each other, from the task's coroutine inward."""
    for _ in range(_LINKS):
        if awaitable is None:
            return
        kind = next((kind for kind in ("cr", "gi", "ag") if hasattr(awaitable, f"{kind}_frame")), None)
        if kind is None:
            # Some objects of the interpreter do not say what they stand for; the garbage collector knows.
            inner = gc.get_referents(awaitable)
            awaitable = next((each for each in inner if isinstance(each, (CoroutineType, AsyncGeneratorType))), None)
            continue
        frame = getattr(awaitable, f"{kind}_frame")
        if frame is not None:
            yield frame
            yield from _of_greenlets(frame)
        awaitable = getattr(awaitable, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")


def _of_greenlets(frame: FrameType) -> Iterator[FrameType]:
    """The frames that SQLAlchemy suspended: it runs synchronous code in a greenlet for a coroutine."""
    if frames.module(frame).startswith("sqlalchemy."):
        for value in tuple(frame.f_locals.values()):
            suspended = getattr(value, "gr_frame", None)
            yield from reversed(list(frames.outward(suspended)))


def _innermost(chain: list[FrameType]) -> FrameType | None:
    return next((frame for frame in reversed(chain) if frames.is_code(frame)), None)


def _of_thread(thread: int) -> FrameType | None:
    """Where a thread is now."""
    now = sys._current_frames().get(thread)  # noqa: SLF001 - there is no public way
    return next((frame for frame in frames.outward(now) if frames.is_code(frame)), None)
