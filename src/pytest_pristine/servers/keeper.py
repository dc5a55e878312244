"""The keeper: a small process beside a server of ours that stops it when nobody has needed it for a while.

It outlives the runs and looks at their leases several times a second. When none has been held for the linger time of
the last, it stops the server and ends. Until then it drops what runs left that were killed, and makes the database that
the next one will ask for. A keeper that was killed is replaced by a run when it takes its lease or gives it back.
"""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import Protocol

import psutil
import psycopg
from filelock import FileLock, Timeout
from sqlalchemy.engine import URL

from pytest_pristine import clock, operating_system
from pytest_pristine.errors import PristineError, ServerError
from pytest_pristine.postgres import connections, lapsed, spares
from pytest_pristine.servers import leases
from pytest_pristine.servers.cluster import Cluster

# Seconds between two looks at the leases.
_INTERVAL = 0.25
# Seconds between two tries to drop what a process that is not quite dead still holds.
_PAUSE = 1.0
# Seconds that a new keeper waits for one that was killed and is not quite dead.
_PATIENCE = 5
_LOCK = "keeper.lock"
# The directories of servers that are no processes of ours.
CONTAINER_PREFIX = "docker-"
_PID = "keeper.pid"


class Kept(Protocol):
    """A server that a keeper looks after: a process or a container. For whoever holds its lock."""

    @property
    def directory(self) -> Path:
        """Its directory."""

    def lock(self) -> FileLock:
        """Its lock."""

    def running(self) -> URL | None:
        """Its address; None when it does not run."""

    def is_stopping(self) -> bool:
        """Whether somebody told it to stop when its clients have gone."""

    def address(self) -> URL | None:
        """The address that it was started with; None once it was stopped."""

    def pid(self) -> int | None:
        """Its main process; None when it does not run, or is none of this machine."""

    def discard(self) -> None:
        """Remove what it left, when it does not run."""

    def stop(self) -> None:
        """Stop it."""


def ensure(directory: Path) -> None:
    """Start a keeper for the server in a directory if there is none."""
    if process(directory) is None:
        command = [sys.executable, "-m", __name__, str(directory)]
        pid = operating_system.spawn_detached(command, cwd=directory, log=directory / "keeper.log")
        (directory / _PID).write_text(str(pid), encoding="utf-8")


def process(directory: Path) -> psutil.Process | None:
    """The keeper of the server in a directory; None when it has none.

    One that has only just been started has no lock yet; one that was killed may still have it.
    """
    try:
        found = psutil.Process(int((directory / _PID).read_text(encoding="utf-8")))
        return found if str(directory) in found.cmdline() else None
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
        return None


def dismiss(directory: Path) -> None:
    """End the keeper of a server that is removed. The caller holds the server's lock."""
    keeping = process(directory)
    if keeping is not None:
        keeping.kill()
        with contextlib.suppress(psutil.TimeoutExpired):
            keeping.wait(_PATIENCE)
        (directory / _PID).unlink(missing_ok=True)


def keep(server: Kept) -> None:
    """Stop the server when its time has come, and give up being its keeper.

    Both happen under the server's lock: a run that comes next finds neither, and starts both.
    """
    needed: float | None = None
    prepared, again = False, 0.0
    while True:
        with server.lock():
            held = leases.held(server.directory)
            if held or needed is None:
                # At the first look, too: the run that started us may have had the lock for long.
                needed = clock.now()
            if held and server.is_stopping():
                # It lets nobody in who is not there already: stopped now, it is started again by those who need it.
                server.stop()
            if held:
                prepared, again = False, 0.0
            elif clock.now() - needed >= leases.linger(server.directory):
                leases.sweep(server.directory)
                (server.directory / _PID).unlink(missing_ok=True)
                server.stop()
                return
        if not held and not prepared and clock.now() >= again:
            prepared, again = not _tidy(server), clock.now() + _PAUSE
        time.sleep(_INTERVAL)


def _tidy(server: Kept) -> bool:
    """Drop what is left of runs, and make the next run's database, now that nobody waits for it.

    A server that died is the next run's to mend.

    Returns:
        Whether it has to be done again: a run may have come and gone meanwhile, or one that was killed has a process
        that is not quite dead.
    """
    url = server.running()
    if url is None:
        return False
    try:
        with connections.connect(url, "keeper") as connection:
            lapsed.drop(connection)
            made = spares.prepare(connection)
            return made or any(True for _ in lapsed.made_by_runs(connection))
    except (psycopg.Error, ServerError, LookupError) as error:
        _say(f"it was not made ready for the next run: {error}")
        return False


def at(directory: Path) -> Kept:
    """The server in a directory."""
    if directory.name.startswith(CONTAINER_PREFIX):
        from pytest_pristine.servers.container import Container  # needs an extra of ours

        return Container(directory)
    return Cluster(directory, operating_system.server_account())


def main(arguments: list[str]) -> int:
    """Keep the server in the directory that the command line names; end at once if another keeper does."""
    (directory,) = arguments
    server = at(Path(directory))
    try:
        with FileLock(server.directory / _LOCK).acquire(timeout=_PATIENCE):
            keep(server)
    except Timeout:
        return 0
    except PristineError as error:
        _say(str(error))
        return 1
    return 0


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - into the keeper's log


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
