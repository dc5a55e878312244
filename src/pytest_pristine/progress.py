"""Saying what takes so long: a line on a terminal when a step takes more than a second, and nothing else.

Nobody is told unless the command line asked for it: a test run has a terminal of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from pytest_pristine import clock

# Seconds that a step may take before it is told, and between two updates of the line on a terminal.
_PATIENCE = 1.0
_streams: list[TextIO] = []


@contextmanager
def shown_on(stream: TextIO) -> Iterator[None]:
    """Tell on a stream what takes long."""
    _streams.append(stream)
    try:
        yield
    finally:
        _streams.remove(stream)


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Do something that may take long.

    Args:
        what: What is done, as a present participle: "making a data directory".
    """
    if not _streams:
        yield
        return
    done = threading.Event()
    teller = threading.Thread(target=_tell, args=(_streams[-1], what, done), daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _tell(stream: TextIO, what: str, done: threading.Event) -> None:
    if done.wait(_PATIENCE):
        return
    if not stream.isatty():
        print(f"{what} ...", file=stream, flush=True)
        return
    started = clock.now() - _PATIENCE
    while True:
        print(f"\r{what} ... {clock.now() - started:.0f} s", end="", file=stream, flush=True)
        if done.wait(_PATIENCE):
            print("\r\x1b[K", end="", file=stream, flush=True)
            return
