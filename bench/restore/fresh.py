"""What a test waits for `fresh_database`, and what its pool costs others: `bench/restore/fresh.py [--tables 10 100]`.

A test's wait is counted until the first `SELECT 1` on the engine has been answered.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import schema
import servers
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.postgres import capabilities, connections, engines
from pytest_pristine.templates.fresh import FreshDatabase
from pytest_pristine.templates.pool import Demand, Pool
from pytest_pristine.templates.run import Run
from pytest_pristine.templates.workspace import Workspace

_DATA = Path("/dev/shm") if Path("/dev/shm").exists() else None  # noqa: S108 - a directory of its own is made in it
_DIRTY = 3
# Restores before those that are measured, and those that are.
_WARM, _RESTORES = 20, 400
# Seconds between two tests that ask, in which other tests run: enough for the pool to be full again.
_PAUSE = 0.3
_ENOUGH = 1_000_000


@dataclass(frozen=True)
class Schema:
    """A migrator that makes the tables.

    Attributes:
        tables: How many.
    """

    tables: int

    def fingerprint(self) -> str:
        """Their number."""
        return str(self.tables)

    def migrate(self, url: URL) -> Mapping[str, str]:
        """Make them."""
        with servers.connect(url) as connection:
            schema.create(connection, self.tables)
        return {}

    def current(self, inputs: Mapping[str, str]) -> bool:
        """Nothing else is read."""
        return not inputs


@dataclass(frozen=True)
class Times:
    """Milliseconds.

    Attributes:
        lowest: The shortest of all.
        median: Half of the times are below.
        most: 95 of 100 times are below.
        longest: The longest of all.
    """

    lowest: float
    median: float
    most: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Times:
        """The summary of some times."""
        ordered = sorted(1000 * each for each in seconds)
        return cls(ordered[0], statistics.median(ordered), ordered[int(len(ordered) * 0.95)], ordered[-1])

    def __str__(self) -> str:
        return f"{self.lowest:8.1f} {self.median:8.1f} {self.most:8.1f} {self.longest:8.1f}"


def main() -> None:
    """Measure, and print a table for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, nargs="+", default=[10, 100, 500])
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--major", type=int, default=18)
    parser.add_argument("--fsync", action="store_true", help="on a server that waits for its disk, here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    chosen = parser.parse_args()
    rows = []
    with servers.running(chosen.major, Path.cwd() if chosen.fsync or _DATA is None else _DATA) as server:
        if chosen.fsync:
            _wait_for_the_disk(server)
        for tables in chosen.tables:
            print(f"\n{tables} tables, ms{'':34}  lowest   median   95/100  longest", flush=True)
            for name, times in _measure(server.world(servers.SUPERUSER), tables, chosen.repetitions):
                print(f"  {name:<46}{times}", flush=True)
                rows.append({"tables": tables, "what": name, "milliseconds": asdict(times)})
    if chosen.json is not None:
        found = {"postgres": chosen.major, "repetitions": chosen.repetitions, "fsync": chosen.fsync, "rows": rows}
        chosen.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _wait_for_the_disk(server: servers.Server) -> None:
    with servers.connect(server.url) as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {name} = on")  # type: ignore[call-overload]
        connection.execute("SELECT pg_reload_conf()")
    time.sleep(1)


def _measure(world: servers.World, tables: int, repetitions: int) -> Iterator[tuple[str, Times]]:
    run = Run(world.url, None, project=f"bench{tables}", session="bench")
    with run.lease(Schema(tables), "main") as workspace:
        template = str(workspace.template)
        waits, drops = _naively(world, template, repetitions)
        yield "naive: CREATE DATABASE, first query", Times.of(waits)
        yield "naive: DROP DATABASE", Times.of(drops)
        with _pool(workspace) as take:
            time.sleep(2 * _PAUSE)
            yield "fresh_database, the pool is full", Times.of(_take(take, repetitions, _PAUSE + tables / 1000))
        with _pool(workspace) as take:
            yield "fresh_database, one test after the other", Times.of(_take(take, repetitions, 0))
        with _pool(workspace) as take:
            yield "fresh_database, after other tests of 20 ms", Times.of(_take(take, repetitions, 0.02))
        yield from _others(workspace, tables)


def _naively(world: servers.World, template: str, repetitions: int) -> tuple[list[float], list[float]]:
    waits, drops = [], []
    for number in range(repetitions):
        name = f"naive_{number}"
        began = time.perf_counter()
        with servers.connect(world.url) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")  # type: ignore[call-overload]
        engine = engines.create(world.database(name), 5)
        _ask(engine)
        waits.append(time.perf_counter() - began)
        engine.dispose()
        began = time.perf_counter()
        world.drop(name)
        drops.append(time.perf_counter() - began)
    return waits, drops


Take = Callable[[], tuple[FreshDatabase, Callable[[], None]]]


@contextmanager
def _pool(workspace: Workspace) -> Iterator[Take]:
    source = workspace.source()
    assert source is not None  # noqa: S101 - it is a copy
    make = functools.partial(engines.create, connections=5)
    with closing(Pool(source, workspace.url, make, demand=Demand(_ENOUGH), opened=3)) as pool:

        def take() -> tuple[FreshDatabase, Callable[[], None]]:
            fresh = pool.take(source)
            return fresh, lambda: pool.give_back(fresh)

        yield take


def _take(take: Take, repetitions: int, pause: float) -> list[float]:
    waits = []
    for _ in range(repetitions):
        time.sleep(pause)
        began = time.perf_counter()
        fresh, give_back = take()
        _ask(fresh.engine)
        waits.append(time.perf_counter() - began)
        give_back()
    return waits


def _ask(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))


def _others(workspace: Workspace, tables: int) -> Iterator[tuple[str, Times]]:
    """A test that writes into three tables, and its restore: alone, and while databases are made and dropped."""
    with connections.connect(workspace.url, "bench") as asking:
        can = capabilities.inspect(asking)
    isolation = Isolation(workspace.url, Coverage(), capabilities=can, timeout=5, rebuild=_refuse)
    with closing(isolation), servers.connect(workspace.url) as connection:
        work = schema.writing(schema.spread(tables, _DIRTY))
        tests, restores = _restores(isolation, connection, work)
        yield "other tests, no pool: the test", Times.of(tests)
        yield "other tests, no pool: its restore", Times.of(restores)
        with _pool(workspace) as take, _never_resting(take):
            tests, restores = _restores(isolation, connection, work)
        yield "other tests, the pool never rests: the test", Times.of(tests)
        yield "other tests, the pool never rests: its restore", Times.of(restores)


@contextmanager
def _never_resting(take: Take) -> Iterator[None]:
    """Another thread takes one after the other, and gives them back at once: they are made and dropped all the time."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            _, give_back = take()
            give_back()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _restores(
    isolation: Isolation, connection: servers.Connection, work: schema.Work
) -> tuple[list[float], list[float]]:
    tests, restores = [], []
    for number in range(_WARM + _RESTORES):
        began = time.perf_counter()
        with connection.transaction():
            work.do(connection)
        done = time.perf_counter()
        isolation.restore("test")
        if number >= _WARM:
            tests.append(done - began)
            restores.append(time.perf_counter() - done)
    return tests, restores


def _refuse() -> None:
    """Nothing that is measured changes the schema."""
    raise AssertionError("the database was taken for spoiled")


if __name__ == "__main__":
    main()
