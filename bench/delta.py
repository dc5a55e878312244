"""What one new revision costs, with and without the template of those before. `bench/README.md` says how.

python bench/delta.py [--revisions N] [--repetitions N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from start import LINGER, PLUGIN, environment, new_home

_FILES = {
    "alembic.ini": "[alembic]\nscript_location = %(here)s/migrations\n",
    "migrations/env.py": """\
from alembic import context

import models

context.configure(connection=context.config.attributes["connection"], target_metadata=models.metadata)
with context.begin_transaction():
    context.run_migrations()
""",
    "test_it.py": """\
from sqlalchemy import text


def test_it(postgres_engine, clean_database):
    with postgres_engine.begin() as connection:
        connection.execute(text("INSERT INTO t1 (name) VALUES ('ada')"))
""",
}
_REVISION = """\
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{number:04}", {before}


def upgrade():
    op.create_table("t{number}", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
    op.create_index("ix_t{number}", "t{number}", ["name"])
    op.add_column("t{first}", sa.Column("c{number}", sa.Text))
"""
_MODELS = """\
from sqlalchemy import Column, Integer, MetaData, Table, Text

metadata = MetaData()
for number in range({number}):
    Table(f"t{{number + 1}}", metadata, Column("id", Integer, primary_key=True), Column("name", Text))
"""
# What a run is given, for each line of the table.
_RUNS = {
    "template there": None,
    "one new revision, the rest alone": "true",
    "one new revision, all of them": "false",
}


def main() -> None:
    """Measure, print the table, and write it as JSON where that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--revisions", type=int, default=100, help="default: %(default)s")
    parser.add_argument("--repetitions", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    chosen = parser.parse_args()
    times = measure(chosen.revisions, chosen.repetitions)
    print(f"{f'a run after {chosen.revisions} revisions':<40}{'seconds':>9}{'lowest':>9}{'highest':>9}")
    for name, seconds in times.items():
        print(f"{name:<40}{statistics.median(seconds):>9.2f}{min(seconds):>9.2f}{max(seconds):>9.2f}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps({"revisions": chosen.revisions, "seconds": times}, indent=2) + "\n", "utf-8")


def measure(revisions: int, repetitions: int) -> dict[str, list[float]]:
    """Whole runs of pytest, in turns. The history grows with each that has something to build."""
    times: dict[str, list[float]] = {name: [] for name in _RUNS}
    with new_home() as home, tempfile.TemporaryDirectory(prefix="pristine-bench-") as directory:
        project = Path(directory)
        for name, text in _FILES.items():
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            (project / name).write_text(text, "utf-8")
        for number in range(1, revisions + 1):
            revise(project, number)
        run(project, home, "true")
        for _ in range(repetitions):
            for name, delta in _RUNS.items():
                if delta is not None:
                    revisions += 1
                    revise(project, revisions)
                times[name].append(run(project, home, delta or "true"))
                # What was built without is nothing to build on.
                if delta == "false":
                    revise(project, revisions)
                    run(project, home, "true", "--pristine-create-db")
    return times


def revise(project: Path, number: int) -> None:
    """Add a revision, and its table to the models."""
    path = project / "migrations" / "versions" / f"{number:04}.py"
    path.parent.mkdir(exist_ok=True)
    before = repr(f"{number - 1:04}") if number > 1 else None
    # No table has more than a thousand columns.
    path.write_text(_REVISION.format(number=number, before=before, first=max(number - 1, 1)), "utf-8")
    (project / "models.py").write_text(_MODELS.format(number=number), "utf-8")


def run(project: Path, home: Path, delta: str, *arguments: str) -> float:
    """Run pytest in the project; gives the seconds it took."""
    command = [sys.executable, "-m", "pytest", *PLUGIN, "-p", "no:cacheprovider", "--rootdir", str(project), *arguments]
    variables = environment(PRISTINE_HOME=str(home), PRISTINE_LINGER=str(LINGER), PRISTINE_DELTA=delta)
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=project, env=variables, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"exit status {done.returncode} of {' '.join(command)}\n{done.stdout}")
    return seconds


if __name__ == "__main__":
    main()
