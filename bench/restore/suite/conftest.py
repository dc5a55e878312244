"""Takes the time of each test: from the first of its fixtures to the last."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest
import schema
from schema import Work

_seconds: list[float] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, bool, bool]:
    """Time a test."""
    began = time.perf_counter()
    result = yield
    _seconds.append(time.perf_counter() - began)
    return result


def pytest_sessionfinish() -> None:
    """Hand the times over."""
    Path(os.environ["BENCH_TIMES"]).write_text(json.dumps(_seconds), encoding="utf-8")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """As many tests as the benchmark asks for."""
    metafunc.parametrize("number", range(int(os.environ["BENCH_TESTS"])))


@pytest.fixture(scope="session")
def work() -> Work:
    """What each test does."""
    return schema.writing(schema.spread(int(os.environ["BENCH_TABLES"]), 3))
