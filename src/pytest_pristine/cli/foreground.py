"""`pristine up --foreground`: the server's log on the terminal, and the server's end with the command's."""

from __future__ import annotations

import signal
import sys
import time
from types import FrameType

from pytest_pristine.servers import up
from pytest_pristine.servers.up import Running

_INTERVAL = 0.2


def follow(server: Running) -> int:
    """Show the log until the command is told to end, by Ctrl-C or a signal; then stop the server.

    Returns:
        The exit status: 0 when we were told to end, 1 when the server ended by itself.
    """
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), _interrupt)
    status = 1
    with (server.directory / "data/server.log").open(encoding="utf-8", errors="replace") as log:
        try:
            while up.runs(server):
                _show(log.read())
                time.sleep(_INTERVAL)
        except KeyboardInterrupt:
            status = 0
        _show(log.read())
        up.stop(server)
        _show(log.read())
    return status


def _interrupt(_: int, frame: FrameType | None) -> None:
    del frame
    raise KeyboardInterrupt


def _show(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
