"""Code that runs an event loop of its own, where one may run already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def outside(call: Callable[[], T]) -> T:
    """Call something where no event loop runs: in another thread, if one runs in this one.

    A fixture can be asked for in a coroutine, and an env.py that calls `asyncio.run` fails there.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call()
    with ThreadPoolExecutor(1, "pristine-migrations") as thread:
        return thread.submit(call).result()
