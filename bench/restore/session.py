"""What a test costs that rolls back, and one that commits.

python bench/restore/session.py [--tables 10 100 500] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import schema
import servers
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.orm import Session

from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.isolation.rollback import Rollback, RolledBackSession
from pytest_pristine.postgres import capabilities, connections

_DATA = Path("/dev/shm") if Path("/dev/shm").exists() else None  # noqa: S108 - a directory of its own is made in it
_DIRTY = 3
# Tests before those that are measured, and of one kind before it is the next one's turn.
_WARM, _TURN = 20, 10
_PLAIN = "CREATE TABLE plain_{0} (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), number int)"
_INSERT_PLAIN = "INSERT INTO plain_{0} (number) VALUES (1)"
_INSERT = "INSERT INTO {0} (email, data) VALUES (gen_random_uuid(), '[]')"


@dataclass(frozen=True)
class Kind:
    """A kind of test.

    Attributes:
        name: What it does.
        statements: What it runs, before it commits.
    """

    name: str
    statements: Sequence[str]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, nargs="+", default=[10, 100, 500])
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument("--major", type=int, default=18)
    parser.add_argument("--roles", nargs="+", choices=servers.ROLES, default=servers.ROLES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    chosen = parser.parse_args()
    rows: list[Mapping[str, object]] = []
    print(
        f"each test writes a row into each of {_DIRTY} tables and commits; medians in ms, the fastest tenth in brackets"
    )
    print("postgres_session: before + body + roll back + restore; clean_database: before + body + restore")
    with servers.running(chosen.major, _DATA or Path.cwd()) as server:
        for role in chosen.roles:
            for tables in chosen.tables:
                rows += _measure(server.world(role), tables, chosen.repetitions)
    if chosen.json is not None:
        found = {"postgres": chosen.major, "repetitions": chosen.repetitions, "rows": rows}
        chosen.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _measure(world: servers.World, tables: int, repetitions: int) -> Iterator[Mapping[str, object]]:
    name = f"session_{tables}"
    world.create(name)
    with servers.connect(world.database(name)) as connection:
        schema.create(connection, tables)
        for number in range(_DIRTY):
            connection.execute(_PLAIN.format(number).encode())
    with connections.connect(world.database(name), "bench") as asking:
        can = capabilities.inspect(asking)
    isolation = Isolation(world.database(name), Coverage(), capabilities=can, timeout=5, rebuild=_refuse)
    engine = create_engine(world.database(name))
    try:
        for kind in _kinds(tables):
            found = _run(isolation, engine, kind, repetitions)
            _print(world.role, tables, kind, found)
            yield {
                "role": world.role, "tables": tables, "test": kind.name,
                "milliseconds": {way: _summary(steps) for way, steps in found.items()},
            }  # fmt: skip
    finally:
        engine.dispose()
        isolation.close()
        world.drop(name)


def _kinds(tables: int) -> list[Kind]:
    serial = [schema.name(number).as_string(None) for number in schema.spread(tables, _DIRTY)]
    return [
        Kind("only reads", ["SELECT 1"]),
        Kind("no sequence", [_INSERT_PLAIN.format(number) for number in range(_DIRTY)]),
        Kind("three sequences", [_INSERT.format(table) for table in serial]),
    ]


def _run(isolation: Isolation, engine: Engine, kind: Kind, repetitions: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each step of either way; they take turns."""
    ways: dict[str, Callable[[dict[str, list[float]]], None]] = {
        "postgres_session": lambda times: _roll_back(isolation, engine, kind, times),
        "clean_database": lambda times: _commit(isolation, engine, kind, times),
    }
    found: dict[str, dict[str, list[float]]] = {way: defaultdict(list) for way in ways}
    for turn in range((_WARM + repetitions) // _TURN):
        if turn == _WARM // _TURN:
            found = {way: defaultdict(list) for way in ways}
        for way, test in ways.items():
            for _ in range(_TURN):
                test(found[way])
    return found


def _roll_back(isolation: Isolation, engine: Engine, kind: Kind, times: dict[str, list[float]]) -> None:
    watch = _Watch(times)
    isolation.prepare()
    watch.note("before")
    rollback = Rollback(engine)
    session = RolledBackSession(rollback=rollback)
    for statement in kind.statements:
        session.execute(text(statement))
    session.commit()
    watch.note("body")
    rollback.finish()
    watch.note("roll back")
    isolation.restore()
    watch.note("restore")


def _commit(isolation: Isolation, engine: Engine, kind: Kind, times: dict[str, list[float]]) -> None:
    watch = _Watch(times)
    isolation.prepare()
    watch.note("before")
    with Session(engine) as session:
        for statement in kind.statements:
            session.execute(text(statement))
        session.commit()
    watch.note("body")
    isolation.restore()
    watch.note("restore")


class _Watch:
    """Notes how long each step takes."""

    def __init__(self, times: dict[str, list[float]]) -> None:
        self._times = times
        self._since = time.perf_counter()

    def note(self, step: str) -> None:
        """A step has ended, and the next one begins."""
        now = time.perf_counter()
        self._times[step].append(now - self._since)
        self._since = time.perf_counter()


def _print(role: str, tables: int, kind: Kind, found: dict[str, dict[str, list[float]]]) -> None:
    for way, steps in found.items():
        told = "  ".join(f"{step} {_figure(seconds)}" for step, seconds in steps.items())
        print(f"{role:<10}{tables:>5} tables  {kind.name:<16}{way:<17}{told}", flush=True)


def _summary(steps: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Medians of each step, and of all of them in one test."""
    whole = [sum(each) for each in zip(*steps.values(), strict=True)]
    return {name: statistics.median(seconds) * 1000 for name, seconds in {**steps, "whole": whole}.items()}


def _figure(seconds: Sequence[float]) -> str:
    ordered = sorted(seconds)
    return f"{statistics.median(ordered) * 1000:.2f} ({ordered[len(ordered) // 10] * 1000:.2f})"


def _refuse() -> None:
    """Nothing that is measured changes the schema."""
    raise AssertionError("the database was taken for spoiled")


if __name__ == "__main__":
    main()
