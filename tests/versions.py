"""Run the tests on each version of PostgreSQL: `python tests/versions.py [--postgres 18 ...] [arguments of pytest]`.

18 and 16 come as wheels; 15 is Debian's package, and a run without it says so. They are tested one after the other,
each on all processors: the first with everything, the others without what asks the server for nothing that a version
could decide, and the second wheel without what is the same for every wheel. Tests of a directory that is named are run
on each. The last thing printed is a table. The exit status is 1 when a test failed, or, where CI is set, when a version
was not tested.
"""

from __future__ import annotations

import argparse
import compileall
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
VERSIONS = (18, 16, 15)
DEBIANS, PACKAGE = 15, "postgresql-15"
# What is tested on the first version alone: it asks a server for nothing that a version could decide.
ONCE = (
    "tests/cli", "tests/crashes", "tests/diagnosis", "tests/documents", "tests/examples", "tests/packaging",
    "tests/plugin/test_async.py", "tests/plugin/test_export.py", "tests/report", "tests/scaffold", "tests/settings",
    "tests/verify/test_checklist.py", "tests/verify/test_code_coverage.py",
    "tests/verify/test_failures.py", "tests/verify/test_odd_ends.py", "tests/verify/test_published.py",
    "tests/verify/test_skips.py", "tests/verify/test_sqlite_guard.py", "tests/verify/test_sqlite_guard_parts.py",
    "tests/verify/test_sqlite_guard_runs.py", "tests/verify/test_sqlite_guard_tools.py", "tests/workers/test_broker.py",
    "tests/workers/test_machines.py", "tests/workers/test_together.py", "tests/workers/test_xdist.py",
)  # fmt: skip
# What is tested on the newest and the oldest version: a wheel's server and an installed one, not another wheel's.
ENDS = (
    "tests/drivers", "tests/interplay", "tests/migrations", "tests/network", "tests/plugin", "tests/servers",
    "tests/workers",
)  # fmt: skip
# One worker more than there are processors, as tests also wait; each has servers of its own, and many would fight for
# the disk. One that has nothing left to do takes tests from another.
_WORKERS = ("-n", str(min((os.cpu_count() or 1) + 1, 5)), "--dist=worksteal")
# Imports every module of the product. What pytest compiles of a plugin it keeps as well.
_IMPORTS = """
import importlib
import pkgutil

import pytest_pristine


def test_import():
    for module in pkgutil.walk_packages(pytest_pristine.__path__, "pytest_pristine."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""
# pytest's exit status when the arguments selected no test.
_NO_TESTS = 5


@dataclass(frozen=True)
class Result:
    """What became of the tests on one version.

    Attributes:
        major: The version.
        status: pytest's exit status; None when it was not run.
        counts: The numbers of tests that passed, failed and were skipped, as JUnit's format has them.
        seconds: How long it took.
    """

    major: int
    status: int | None
    counts: tuple[int, int, int] = (0, 0, 0)
    seconds: float = 0

    def row(self) -> str:
        """A line of the table."""
        passed, failed, skipped = self.counts
        if self.status is None:
            return f"{self.major:>10}  NOT TESTED: it is not here. apt-get install {PACKAGE}"
        words = "passed" if self.status in (0, _NO_TESTS) else f"FAILED, exit status {self.status}"
        return f"{self.major:>10}{passed:>8}{failed:>8}{skipped:>8}{self.seconds:>8.0f} s  {words}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--postgres", type=int, action="append", choices=VERSIONS, help="on this version alone")
    chosen, further = parser.parse_known_args(arguments)
    with tempfile.TemporaryDirectory(prefix="versions-") as scratch:
        _compile(Path(scratch))
        results = [_test(major, further, Path(scratch)) for major in chosen.postgres or VERSIONS]
    print(f"\n{'PostgreSQL':>10}{'passed':>8}{'failed':>8}{'skipped':>8}{'took':>8}")
    for result in results:
        print(result.row())
    return int(any(map(_is_bad, results)))


def _compile(scratch: Path) -> None:
    """Compile the product as Python does, and as pytest does with plugins.

    Tests run it in many processes, and let none of them write what it has compiled.
    """
    compileall.compile_dir(ROOT / "src", quiet=1)
    (scratch / "test_import.py").write_text(_IMPORTS, encoding="utf-8")
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."]
    subprocess.run(command, cwd=scratch, env=environ, check=True)


def _is_bad(result: Result) -> bool:
    if result.status is None:
        return bool(os.environ.get("CI"))
    return result.status not in (0, _NO_TESTS)


def _test(major: int, further: Sequence[str], scratch: Path) -> Result:
    if not _is_here(major):
        return Result(major, None)
    junit = scratch / f"{major}.xml"
    named = any(word.startswith("tests/") for word in further)
    left_out = [] if named else [f"--ignore={path}" for path in _left_out(major)]
    command = [
        sys.executable, "-m", "pytest", *([] if named else ["tests"]), "-m", "not engine", f"--junitxml={junit}",
        *_WORKERS, *left_out, *further,
    ]  # fmt: skip
    began = time.monotonic()
    print(f"\nPostgreSQL {major}", flush=True)
    environ = {**os.environ, "PRISTINE_TEST_POSTGRES": str(major)}
    status = subprocess.run(command, cwd=ROOT, env=environ, check=False).returncode
    return Result(major, status, _counts(junit), time.monotonic() - began)


def _left_out(major: int) -> Sequence[str]:
    """The tests that are not run on a version."""
    if major == VERSIONS[0]:
        return ()
    return ONCE if major == VERSIONS[-1] else (*ONCE, *ENDS)


def _is_here(major: int) -> bool:
    return major != DEBIANS or Path(f"/usr/lib/postgresql/{major}/bin/initdb").exists()


def _counts(junit: Path) -> tuple[int, int, int]:
    """Passed, failed and skipped; nothing when pytest came to write no report."""
    if not junit.exists():
        return 0, 0, 0
    (suite,) = ET.parse(junit).getroot().iter("testsuite")  # noqa: S314 - pytest wrote it
    number = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    failed = number["failures"] + number["errors"]
    return number["tests"] - failed - number["skipped"], failed, number["skipped"]


if __name__ == "__main__":
    sys.exit(main())
