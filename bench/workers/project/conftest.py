"""Notes how long the fixtures of each test took, and when each worker began."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

_phases: dict[str, list[float]] = {"setup": [], "call": [], "teardown": []}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """As many tests as the benchmark asks for, shared among the functions of the module."""
    if "number" in metafunc.fixturenames:
        functions = sum(name.startswith("test_") for name in vars(metafunc.module))
        metafunc.parametrize("number", range(int(os.environ["BENCH_TESTS"]) // functions))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what a phase took, in seconds: in the process that has the reports of all workers."""
    _phases[str(report.when)].append(report.duration)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the times over."""
    if not hasattr(session.config, "workerinput"):
        _notes("phases.json").write_text(json.dumps(_phases), encoding="utf-8")


@pytest.fixture(scope="session")
def begin() -> Callable[[], None]:
    """Notes the moment at which this worker's first test began."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    noted = _notes(f"began-{worker}")

    def note() -> None:
        if not noted.exists():
            noted.write_text(repr(time.time()), encoding="utf-8")

    return note


@pytest.fixture(scope="session")
def notes() -> Callable[[str], Path]:
    """Where notes are left for the benchmark."""
    return _notes


def _notes(name: str) -> Path:
    return Path(os.environ["BENCH_NOTES"]) / name
