"""Saying what takes so long."""

from __future__ import annotations

import io
import threading
import time

from pytest_pristine import progress

# Seconds that are certainly more than the patience of whoever waits.
LONG = 1.5


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def test_what_takes_long_is_told() -> None:
    """A step that takes more than a second is told once, on a line of its own."""
    stream = io.StringIO()
    with progress.shown_on(stream), progress.doing("making something"):
        time.sleep(LONG)
    assert stream.getvalue() == "making something ...\n"


def test_on_a_terminal_the_line_goes_away() -> None:
    """On a terminal the line counts the seconds, and is wiped out at the end."""
    stream = Terminal()
    with progress.shown_on(stream), progress.doing("making something"):
        time.sleep(LONG)
    assert stream.getvalue() == "\rmaking something ... 1 s\r\x1b[K"


def test_what_is_quick_is_not_told() -> None:
    """A step that takes no time is not told, and leaves no thread."""
    stream = io.StringIO()
    before = threading.active_count()
    with progress.shown_on(stream), progress.doing("making something"):
        pass
    assert stream.getvalue() == ""
    assert threading.active_count() == before


def test_nobody_asked() -> None:
    """Where nobody asked to be told, no thread is started."""
    before = threading.active_count()
    with progress.doing("making something"):
        assert threading.active_count() == before
