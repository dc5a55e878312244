"""The keeper: a small process beside a server of ours that stops it when nobody has needed it for a while.

It outlives the runs and looks at their leases several times a second. When none has been held for the linger time of
the last, it stops the server and ends. Until then it makes the database that the next run will ask for. A keeper that
was killed is replaced by the next run: there is one as long as its lock is held.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
from filelock import FileLock, Timeout

from pytest_pristine import operating_system
from pytest_pristine.errors import ServerError
from pytest_pristine.postgres import connections, spares
from pytest_pristine.servers import leases
from pytest_pristine.servers.binaries import Binaries
from pytest_pristine.servers.cluster import Cluster

# Seconds between two looks at the leases.
_INTERVAL = 0.25
_LOCK = "keeper.lock"


def ensure(cluster: Cluster, provide: Callable[[], Binaries]) -> None:
    """Start a keeper for the server if there is none.

    Args:
        cluster: The server.
        provide: Gives the programs that stop it.
    """
    lock = FileLock(cluster.directory / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return
    lock.release()
    programs = provide()
    command = [sys.executable, "-m", __name__, str(cluster.directory), str(programs.directory), str(programs.major)]
    operating_system.spawn_detached(command, cwd=cluster.directory, log=cluster.directory / "keeper.log")


def keep(cluster: Cluster, binaries: Binaries, lock: FileLock) -> None:
    """Stop the server when its time has come, and give up being its keeper.

    Both happen under the server's lock: a run that comes next finds neither, and starts both.
    """
    needed = time.monotonic()
    prepared = False
    while True:
        with cluster.lock():
            held = leases.held(cluster.directory)
            if held:
                needed = time.monotonic()
                prepared = False
            elif time.monotonic() - needed >= leases.linger(cluster.directory):
                leases.sweep(cluster.directory)
                cluster.stop(binaries)
                lock.release()
                return
        if not held and not prepared:
            _prepare_spares(cluster)
            prepared = True
        time.sleep(_INTERVAL)


def _prepare_spares(cluster: Cluster) -> None:
    """Make the next run's database now that nobody waits for it. A server that died is the next run's to mend."""
    url = cluster.running()
    if url is None:
        return
    try:
        with connections.connect(url, "spares") as connection:
            spares.prepare(connection)
    except (psycopg.Error, ServerError) as error:
        print(f"no spare was made: {error}", flush=True)  # noqa: T201 - into the keeper's log


def main(arguments: list[str]) -> None:
    """Keep the server in the directory that the command line names; end at once if another keeper does."""
    directory, binaries, major = arguments
    cluster = Cluster(Path(directory), operating_system.server_account())
    lock = FileLock(cluster.directory / _LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return
    keep(cluster, Binaries(Path(binaries), int(major)), lock)


if __name__ == "__main__":
    main(sys.argv[1:])
