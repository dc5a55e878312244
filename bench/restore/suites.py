"""Whole runs of pytest: the same tests with each plugin, and without any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import ways
from figures import Case, Figure
from measuring import Times, summarise
from parts import Bench
from servers import World

_HERE = Path(__file__).resolve().parent
_PROJECT = _HERE / "suite"
# Seconds after which a run is given up.
_RUN_SECONDS = 300
# Tests at the beginning of a run, which wait for what is made once, and at its end, which take it down.
_FIRST, _LAST = 10, 1
# What would steer pytest, the plugins or libpq, or have each process compile again what pytest rewrites.
_FOREIGN = ("PRISTINE_", "PYTEST_", "PG", "COV_", "TEST_DATABASE_URL", "DATABASE_URL", "PYTHONDONTWRITEBYTECODE")
_DIRTY = 3


@dataclass(frozen=True, slots=True)
class Suite:
    """How the tests are run.

    Attributes:
        way: What isolates them.
        module: The one in `suite/databases` that gives them a database.
        plugins: The plugins that it needs; no others are loaded.
        is_fast: A test takes a millisecond rather than tens of them, and there can be more of them.
    """

    way: str
    module: str
    plugins: Sequence[str] = ()
    is_fast: bool = True


_SUITES = (
    Suite(ways.NOTHING, "nothing"),
    Suite(ways.PRISTINE, "pristine", ["pytest_pristine.plugin"]),
    Suite("pytest-clean-database", "clean_db", ["pytest_clean_db.plugin"], is_fast=False),
    Suite("pytest-postgresql", "postgresql", ["pytest_postgresql.plugin"], is_fast=False),
)


class RunError(Exception):
    """A run of pytest failed."""


def measure(bench: Bench, tests: int, rounds: int) -> Iterator[Figure]:
    """Run every suite, in turns.

    Args:
        bench: The server.
        tests: How many there are in a run; a fifth of them where each takes long.
        rounds: How often each suite is run.
    """
    world = bench.server.world(bench.plan.roles[0])
    for tables, chain in [(100, 0), (100, 10)]:
        if tables not in bench.plan.tables:
            continue
        bench.say(f"{world.role}, {tables} tables{' in chains of ten' if chain else ''}: whole runs of pytest")
        case = replace(bench.case("suite", world, tables), work="small", dirty=_DIRTY, chain=chain)
        seconds: dict[str, list[float]] = {suite.way: [] for suite in _SUITES}
        errors: dict[str, str] = {}
        for _ in range(rounds):
            for suite in _SUITES:
                if suite.way not in errors:
                    try:
                        seconds[suite.way] += _run(suite, world, case, tests if suite.is_fast else tests // 5)
                    except (RunError, subprocess.TimeoutExpired) as error:
                        errors[suite.way] = str(error)
        yield from _figures(case, seconds, errors)


def _figures(case: Case, seconds: dict[str, list[float]], errors: dict[str, str]) -> Iterator[Figure]:
    floor: Times | None = summarise(seconds[ways.NOTHING]) if ways.NOTHING not in errors else None
    for way, each in seconds.items():
        if way in errors:
            yield Figure(case, way, error=errors[way])
            continue
        times = summarise(each)
        mean = 1000 * sum(each) / len(each)
        values = {"mean": round(mean, 4)}
        if floor is not None:
            values["over_floor"] = round(times.median - floor.median, 4)
        yield Figure(case, way, times, values=values)


def _run(suite: Suite, world: World, case: Case, tests: int) -> list[float]:
    """Run a suite; gives the seconds that each test took, without the first and the last ones.

    Raises:
        RunError: A test failed.
    """
    database = "bench_suite_test"
    for name in (database, suite.module):
        world.drop(name)
    if suite.way == ways.PRISTINE:
        world.create(database)
    with tempfile.TemporaryDirectory(prefix="pristine-bench-") as directory:
        times = Path(directory) / "times.json"
        command = [sys.executable, "-m", "pytest"]
        for plugin in (*suite.plugins, f"suite.databases.{suite.module}"):
            command += ["-p", plugin]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        variables = {
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(_HERE),
            "TEST_DATABASE_URL": world.database(database).render_as_string(hide_password=False),
            "BENCH_SERVER": world.url.render_as_string(hide_password=False),
            "BENCH_TIMES": str(times),
            "BENCH_TESTS": str(tests),
            "BENCH_TABLES": str(case.tables),
            "BENCH_CHAIN": str(case.chain),
        }
        done = subprocess.run(
            command, cwd=_PROJECT, env={**kept, **variables}, check=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_RUN_SECONDS,
        )  # fmt: skip
        if done.returncode != 0:
            print(done.stdout, file=sys.stderr)
            raise RunError(f"exit status {done.returncode}, see above")
        seconds: list[float] = json.loads(times.read_text(encoding="utf-8"))
    return seconds[_FIRST:-_LAST]
