"""What a trial must not leave: databases, leases, servers, keepers, processes, shared memory."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine.errors import PristineError
from pytest_pristine.postgres import connections, databases, marks
from pytest_pristine.servers import address, inventory
from tests.conftest import Home, Server
from tests.crashes import phases
from tests.crashes.stage import NAMED

# Seconds in which what is over goes, besides the time that a server lingers.
PATIENCE = 30
# Seconds between two looks.
_PAUSE = 0.05
_SEGMENTS = Path("/proc/sysvipc/shm")
_MEMORY = Path("/dev/shm")  # noqa: S108 - it is looked at
_OVER = (marks.CLONE, marks.SCRATCH)
_OF_EVERY_SERVER = {"postgres", "template0", "template1", NAMED}


def on_servers(home: Home) -> list[str] | None:
    """What is left on the servers of a home while they run, when there was time to remove it.

    It is called right after a run whose server stays for a moment.

    Returns:
        What is left; None when all servers had stopped before they were looked at.
    """
    left = None
    end = time.monotonic() + PATIENCE
    while left != [] and time.monotonic() < end:
        running = [server for server in _servers(home) if server.state == "running"]
        if not running:
            break
        with suppress(PristineError, psycopg.OperationalError):  # it stops
            left = [thing for server in running for thing in _on_server(server)]
        time.sleep(_PAUSE)
    return left


def _on_server(server: inventory.Server) -> list[str]:
    url = address.read(Path(server.directory))
    unmarked = [] if url is None else _unmarked(url)
    of_runs = [f"{each.kind} {each.name} on {server.name}" for each in server.databases if each.kind in _OVER]
    runs = [f"run {run.id} of {run.owner} on {server.name}" for run in server.runs]
    return [*[f"a lease on {server.name}"] * server.leases, *runs, *of_runs, *unmarked]


def on(server: Server) -> list[str]:
    """What is left on the user's server."""
    url = server.url.set(drivername="postgresql+psycopg")
    with connections.connect(url, "look") as connection:
        left = [f"{each.mark.kind} {each.name}" for each in databases.ours(connection) if each.mark.kind in _OVER]
    return left + _unmarked(url)


def _servers(home: Home) -> tuple[inventory.Server, ...]:
    """The servers of a home as `pristine status` tells of them, looked at again when one stops meanwhile."""
    while True:
        try:
            return inventory.take(home.path).servers
        except psycopg.OperationalError:
            continue


def _unmarked(url: URL) -> list[str]:
    """Databases of which nobody can tell any more whose they are."""
    with connections.connect(url.set(database="postgres"), "look") as connection:
        names = {str(name) for (name,) in connection.execute("SELECT datname FROM pg_database")}
        ours = {each.name for each in databases.ours(connection)}
    return [f"the database {name}, which has no mark" for name in sorted(names - ours - _OF_EVERY_SERVER)]


def at_the_end(home: Home, outside: frozenset[int]) -> list[str]:
    """What is left in the end, when the time to linger is over.

    Args:
        home: The home.
        outside: Processes that were there before the trial.
    """
    end = time.monotonic() + PATIENCE
    while (left := [*_processes(outside), *_shared_memory()]) and time.monotonic() < end:
        time.sleep(_PAUSE)
    # Once: it looks at every file.
    return left + _states(home)


def _states(home: Home) -> list[str]:
    left = []
    for server in _servers(home):
        left += [f"{server.name} is {server.state}"] * (server.state != "stopped")
        left += [f"{server.leases} leases on {server.name}"] * bool(server.leases)
        left += [f"the keeper {server.keeper} of {server.name}"] * (server.keeper is not None)
        left += [f"{Path(server.directory) / 'making'}"] * (Path(server.directory) / "making").exists()
    return left


def _processes(outside: frozenset[int]) -> list[str]:
    known = outside | {os.getpid()}
    return [f"process {each.pid}: {each.line}" for each in phases.processes() if each.pid not in known]


def _shared_memory() -> list[str]:
    """Segments and files; all that there are in this trial's memory are the trial's."""
    lines = [line.split() for line in _SEGMENTS.read_text(encoding="ascii").splitlines()[1:]]
    segments = [f"shared memory segment {line[1]} of {line[3]} B, made by process {line[4]}" for line in lines]
    return segments + [f"shared memory file {path}" for path in sorted(_MEMORY.glob("PostgreSQL.*"))]
