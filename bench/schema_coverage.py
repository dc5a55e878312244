"""What schema coverage costs: the same suites with and without it, in turns.

python bench/schema_coverage.py [--rounds 5] [--tests 400] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
BACKEND = REPOSITORY / "backend" / "tests" / "integration"
# What would steer pytest, the plugin or libpq, or have each process compile again what pytest rewrites.
_FOREIGN = ("PRISTINE_", "PYTEST_", "PG", "COV_", "TEST_DATABASE_URL", "DATABASE_URL", "PYTHONDONTWRITEBYTECODE")
# Seconds that the server outlives a run: it is stopped when all is measured.
_LINGER = "600"
_SWITCH = "--pristine-schema-cov"

_ENV_PY = """
from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
"""
_REVISION = """
from alembic import op

revision, down_revision = "0001", None


def upgrade():
    op.execute("CREATE TYPE state AS ENUM ('new', 'done')")
    for number in range({tables}):
        op.execute(
            f"CREATE TABLE t{{number}} (id bigserial PRIMARY KEY, email text NOT NULL UNIQUE, "
            f"state state DEFAULT 'new', parent bigint REFERENCES t{{max(number - 1, 0)}}, more jsonb)"
        )
        op.execute(f"CREATE INDEX ON t{{number}} (parent)")
"""
_CONFTEST = """
import json, os, time
from pathlib import Path

import pytest

seconds = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    began = time.perf_counter()
    result = yield
    seconds.append(time.perf_counter() - began)
    return result


def pytest_sessionfinish():
    Path(os.environ["BENCH_TIMES"]).write_text(json.dumps(seconds))
"""
_TESTS = """
import pytest
from sqlalchemy import text

INSERT = text("INSERT INTO t0 (email, state) VALUES (:email, 'new') RETURNING id")
CHILD = text("INSERT INTO t1 (email, parent) VALUES (:email, :parent)")


@pytest.mark.parametrize("number", range({tests}))
def test_writes(postgres_engine, clean_database, number):
    with postgres_engine.begin() as connection:
        for each in range(3):
            parent = connection.execute(INSERT, {{"email": f"{{each}}"}}).scalar_one()
            connection.execute(CHILD, {{"email": f"{{each}}", "parent": parent}})
    with postgres_engine.begin() as connection:
        connection.execute(text("UPDATE t0 SET state = 'done' WHERE email = '1'"))
    with postgres_engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM t0 JOIN t1 ON t1.parent = t0.id")).scalar_one() == 3
"""


def main() -> int:
    """Measure, print, and write JSON where that was asked for; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="how often each suite is run each way (default: 5)")
    parser.add_argument("--tests", type=int, default=400, help="tests of a suite of ours (default: 400)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    chosen = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="pristine-bench-"))
    # Where we are root, another account runs the server.
    home.chmod(0o711)
    rows = []
    try:
        for tables in (20, 100):
            project = _lay_out(home / f"project-{tables}", tables, chosen.tests)
            rows.append(_compare(f"{chosen.tests} tests that write, {tables} tables", [], project, home, chosen.rounds))
        rows.append(_compare("the backend's suite", [str(BACKEND)], REPOSITORY, home, chosen.rounds))
    finally:
        _pristine(home, "prune", "--all")
        shutil.rmtree(home)
    if chosen.json is not None:
        document = {"python": sys.version.split()[0], "rounds": chosen.rounds, "rows": rows}
        chosen.json.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


def _lay_out(project: Path, tables: int, tests: int) -> Path:
    files = {
        "pytest.ini": "[pytest]\n",
        "alembic.ini": "[alembic]\nscript_location = %(here)s/migrations\n",
        "migrations/env.py": _ENV_PY,
        "migrations/versions/0001.py": _REVISION.format(tables=tables),
        "conftest.py": _CONFTEST,
        "test_writes.py": _TESTS.format(tests=tests),
    }
    for name, content in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return project


def _compare(what: str, arguments: list[str], project: Path, home: Path, rounds: int) -> dict[str, object]:
    """Run a suite both ways, in turns that begin with either."""
    _run(project, arguments, home)
    without, with_it = [], []
    for number in range(rounds):
        for covered in (True, False) if number % 2 else (False, True):
            took = _run(project, [*arguments, *([_SWITCH] if covered else [])], home)
            (with_it if covered else without).append(took)
    row: dict[str, object] = {"what": what}
    for name in ("whole", "test"):
        both = [[took[name] for took in found if name in took] for found in (without, with_it)]
        if all(both):
            before, after = map(statistics.median, both)
            row[name] = {"without": both[0], "with": both[1], "percent": 100 * (after / before - 1)}
            unit = "s" if name == "whole" else "ms a test"
            scale = 1 if name == "whole" else 1000
            print(
                f"{what}, {name}: {before * scale:.3f} {unit} without, {after * scale:.3f} with: "
                f"{100 * (after / before - 1):+.1f} %",
                flush=True,
            )
    return row


def _run(project: Path, arguments: list[str], home: Path) -> dict[str, float]:
    """Run pytest; gives the seconds of the process, and the median of a test's where the project notes them."""
    times = home / "times.json"
    times.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *arguments]
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=project, env=_environment(home, times), check=False, capture_output=True, text=True
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")
    found = {"whole": seconds}
    if times.exists():
        # Without the first and the last, which wait for what is made and ended once.
        found["test"] = statistics.median(json.loads(times.read_text(encoding="utf-8"))[10:-1])
    return found


def _environment(home: Path, times: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN) and name != "CI"}
    ours = {
        "PRISTINE_HOME": str(home),
        "PRISTINE_LINGER": _LINGER,
        "PRISTINE_STRICT": "false",
        "BENCH_TIMES": str(times),
    }
    return {**kept, **ours, "PYTHONPATH": str(REPOSITORY), "TEST_DATABASE_URL": ""}


def _pristine(home: Path, *arguments: str) -> None:
    program = "import sys; from pytest_pristine.cli import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", program, *arguments], env=_environment(home, home), check=False)


if __name__ == "__main__":
    sys.exit(main())
