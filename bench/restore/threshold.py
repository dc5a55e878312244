"""Where reading the WAL takes as long as asking: what the limit in `isolation/wal_guided.py` was measured with.

.environment/bin/python bench/restore/threshold.py, after run.py has made the environment.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import schema
import servers

from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.postgres import capabilities, connections, wal

_MEMORY = Path("/dev/shm")  # noqa: S108 - directories in it have random names
_TABLES = (10, 100, 1000)
# Rows written before each reading: about 50 kB to 5 MB of WAL.
_ROWS = (100, 1000, 10_000)
_REPETITIONS = 15


def main() -> int:
    """Measure and print; gives the exit status."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as directory:
        Path(directory).chmod(0o711)
        for major in servers.available():
            with servers.running(major, Path(directory)) as server:
                for tables in _TABLES:
                    _measure(server, tables)
    return 0


def _measure(server: servers.Server, tables: int) -> None:
    world = server.world(servers.SUPERUSER)
    name = f"threshold_{tables}"
    world.create(name)
    url = world.database(name)
    with servers.connect(url) as client:
        schema.create(client, tables)
    with connections.connect(url, "bench") as connection:
        can = capabilities.inspect(connection)
    isolation = Isolation(url, Coverage(), capabilities=can, timeout=5.0, rebuild=lambda: None)
    watch, mark = isolation._watch, isolation._mark  # noqa: SLF001 - what is measured lies inside
    asking = _milliseconds(lambda: watch.probes.changes(mark, watch.moment(watch.gate.look(), mark)))
    print(f"PostgreSQL {server.major}, {tables} tables: asking takes {asking:.2f} ms")
    if watch.wal_guided is None:
        raise AssertionError("a superuser can read the WAL")
    reader = watch.wal_guided.reader
    for rows in _ROWS:
        start = reader.flush().position
        with servers.connect(url) as client, client.transaction():
            schema.writing([0]).do(client)
            client.execute(
                "INSERT INTO table_0000 (email, data) SELECT gen_random_uuid()::text, '{}' FROM generate_series(1, %s)",
                [rows],
            )
        until = reader.flush().position
        size = wal.distance(start, until)
        reading = _milliseconds(lambda: reader.written(start, until, (), writers=False))  # noqa: B023 - called at once
        equal = asking / reading * size / 1024
        print(f"  {size / 1024:8.0f} kB of WAL: read in {reading:.2f} ms; as long as asking at {equal:.0f} kB")
    isolation.close()
    world.drop(name)


def _milliseconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPETITIONS):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return median(times)


if __name__ == "__main__":
    sys.exit(main())
