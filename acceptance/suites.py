"""Test suites that nobody here wrote, run twice: with their own database fixture, and with ours in its place.

A suite comes from its source package on the index. All that is changed is appended to one conftest.py.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import tarfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from environments import CACHE

HERE = Path(__file__).parent / "suites"
# Seconds for one run of a suite, and for a download.
_RUN_SECONDS = 1800
_DOWNLOAD_SECONDS = 600
_PORT = 55991
_LAST_LINES = 15


@dataclass(frozen=True, slots=True)
class Suite:
    """A test suite of somebody else's.

    Attributes:
        name: Of the package, and of the directory in `suites`.
        version: Of the package.
        conftest: The conftest.py with the database fixtures, in the source package.
        arguments: What its own developers give pytest, to choose the tests that need Postgres.
        passes: How many tests pass with its own fixture.
    """

    name: str
    version: str
    conftest: str
    arguments: tuple[str, ...]
    passes: int


SUITES = [
    Suite(
        "dstack",
        "0.22.5",
        conftest="src/tests/_internal/server/conftest.py",
        arguments=("src/tests/_internal/server", "--runpostgres",
                   "-k", "postgres and not test_postgres_migrations"),
        passes=1413,
    ),
    Suite(
        "pgqueuer",
        "1.6.0",
        conftest="test/conftest.py",
        # That one asserts that no heartbeat is more than 15 ms late: it depends on what else the machine does.
        arguments=("test", "--deselect=test/test_retry.py::test_heartbeat_db_datetime"),
        passes=1446,
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one run of a suite went.

    Attributes:
        passed: Tests that passed.
        failed: Tests and fixtures that did not.
        wall: Seconds, from the start of the process to its end.
        cpu: Seconds of processor time in the process and its children; the server's are not among them.
    """

    passed: int
    failed: int
    wall: float
    cpu: float


def run(suite: Suite, python: Path, way: str, url: str, scratch: Path) -> Outcome:
    """Run a suite in a fresh copy of its source package.

    Args:
        suite: The suite.
        python: That of its environment.
        way: `theirs` or `ours`: which file is appended to its conftest.py.
        url: A server that was started beforehand, on which both ways work.
        scratch: An empty directory.
    """
    copy = _unpack(suite, python, scratch / way)
    with (copy / suite.conftest).open("a", encoding="utf-8") as conftest:
        conftest.write((HERE / suite.name / f"{way}.py").read_text(encoding="utf-8"))
    junit = scratch / f"{way}.xml"
    plugin = (
        ["-p", "no:pristine"] if way == "theirs" else ["--pristine-server=up", f"--pristine-report={scratch}/report"]
    )
    command = [str(python), "-m", "pytest", *suite.arguments, "-q", f"--junitxml={junit}", *plugin]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environ = {**_environ(), "SUITE_DATABASE_URL": url, "EXTERNAL_POSTGRES_DSN": url}
    done = subprocess.run(
        command, cwd=copy, env=environ, check=False, timeout=_RUN_SECONDS, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    print("\n".join(done.stdout.splitlines()[-_LAST_LINES:]))  # noqa: T201 - pytest shows it when the test fails
    return _outcome(junit, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


@contextmanager
def server(python: Path) -> Iterator[str]:
    """A server that both ways use, over TCP, as a container would be reached."""
    pristine = str(python.parent / "pristine")
    command = [pristine, "up", "--port", str(_PORT), "--user", "suite", "--password", "suite", "--db", "suite"]
    subprocess.run(command, check=True, env=_environ())
    try:
        yield f"postgresql://suite:suite@127.0.0.1:{_PORT}/suite"
    finally:
        subprocess.run([pristine, "down", "--port", str(_PORT)], check=True, env=_environ())


def report(scratch: Path) -> dict[str, Any]:
    """What pytest-pristine recorded of our run."""
    found: dict[str, Any] = json.loads((scratch / "report" / "report.json").read_text(encoding="utf-8"))
    return found


def _environ() -> dict[str, str]:
    """A home of its own: nobody else's server is used, and none of ours is left to others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PRISTINE_", "PYTEST_", "PG"))}
    return {**kept, "PRISTINE_HOME": str(CACHE / "suites-home")}


def _unpack(suite: Suite, python: Path, directory: Path) -> Path:
    package = f"{suite.name}-{suite.version}"
    archive = CACHE / f"{package}.tar.gz"
    if not archive.exists():
        command = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
                   "--dest", str(CACHE), f"{suite.name}=={suite.version}"]  # fmt: skip
        subprocess.run(command, check=True, timeout=_DOWNLOAD_SECONDS)
    shutil.rmtree(directory, ignore_errors=True)
    with tarfile.open(archive) as opened:
        opened.extractall(directory, filter="data")
    return directory / package


def _outcome(junit: Path, wall: float, cpu: float) -> Outcome:
    suite = ET.parse(junit).getroot().find("testsuite")  # noqa: S314 - pytest wrote it
    assert suite is not None
    count = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    failed = count["failures"] + count["errors"]
    return Outcome(count["tests"] - failed - count["skipped"], failed, wall, cpu)
