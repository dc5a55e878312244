"""How long a session takes to start, with and without us. `bench/README.md` says what is measured and how.

python bench/start.py [--repetitions N] [--json FILE]
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

PROJECT = Path(__file__).parent / "project"
PLUGIN = ("-p", "pytest_pristine.plugin")
REPETITIONS = 7
# Seconds that the server outlives a run: longer than the runs between two that use it, shorter than our patience.
LINGER = 10
# What an unused plugin must not import.
HEAVY = ("alembic", "psycopg", "sqlalchemy")


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Attributes:
        name: What was run.
        seconds: How long it took, once for each repetition.
        over: How much longer than the run beside it in the same repetition; empty when there is none beside it.
        target: The most that the difference may be or, where there is none, the time itself; None for no target.
    """

    name: str
    seconds: list[float]
    over: list[float]
    target: float | None = None

    def result(self) -> float:
        """What is held against the target."""
        return statistics.median(self.over or self.seconds)


def main() -> None:
    """Measure, print the table, and write it as JSON where that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result there as well")
    chosen = parser.parse_args()
    rows = [*measure_sessions(chosen.repetitions), *measure_unused(chosen.repetitions)]
    heavy = heavy_imports()
    print(table(rows))
    print(f"\nimported by the unused plugin: {', '.join(heavy) or 'neither ' + ' nor '.join(HEAVY)}")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(document(rows, heavy), indent=2) + "\n", encoding="utf-8")


# What is measured


def measure_sessions(repetitions: int) -> list[Row]:
    """Sessions that use the fixtures, beside the same tests without."""
    with new_home() as warm:
        pytest("test_pristine.py", home=warm, linger=LINGER)  # makes the server and the template

        def plain() -> float:
            return pytest("test_plain.py")

        def running() -> float:
            return pytest("test_pristine.py", home=warm, linger=LINGER)

        baseline, server_running = in_turns(repetitions, plain, running)
        wait_for_processes(warm)

        def stopped() -> float:
            seconds = pytest("test_pristine.py", home=warm, linger=0)
            wait_for_processes(warm)
            return seconds

        second_baseline, server_stopped = in_turns(repetitions, plain, stopped)
    (first,) = in_turns(repetitions, first_ever)
    return [
        Row("plain pytest, SQLAlchemy imported", baseline + second_baseline, []),
        Row("ours, warm: server running", server_running, over(server_running, baseline), target=0.5),
        Row("ours, warm: server stopped", server_stopped, over(server_stopped, second_baseline)),
        Row("ours, first ever: nothing there", first, [], target=3.0),
    ]


def first_ever() -> float:
    """A session that makes everything: data directory, server, template."""
    with new_home() as home:
        return pytest("test_pristine.py", home=home, linger=0)


def measure_unused(repetitions: int) -> list[Row]:
    """Collecting an empty project, with the plugin and without it."""
    with tempfile.TemporaryDirectory(prefix="pristine-bench-") as empty:
        command = ("--collect-only", "-q", "--rootdir", empty, empty)

        def without() -> float:
            return pytest(*command, plugin=False, expected=5)

        def installed() -> float:
            return pytest(*command, expected=5)

        # Milliseconds are sought: that takes more repetitions than seconds do, and each is short.
        baseline, ours = in_turns(3 * repetitions, without, installed)
    return [
        Row("empty project, --collect-only, no plugin", baseline, []),
        Row("empty project, --collect-only, unused plugin", ours, over(ours, baseline), target=0.02),
    ]


def heavy_imports() -> list[str]:
    """Those of the heavy packages that an unused plugin imports."""
    script = f"import pytest, sys; pytest.main(sys.argv[1:]); print('imported', *set({HEAVY}) & set(sys.modules))"
    with tempfile.TemporaryDirectory(prefix="pristine-bench-") as empty:
        command = [sys.executable, "-c", script, *PLUGIN, "--collect-only", "-q", "--rootdir", empty, empty]
        done = subprocess.run(command, env=environment(), check=True, capture_output=True, text=True)
    return sorted(done.stdout.splitlines()[-1].split()[1:])


# How it is measured


def in_turns(repetitions: int, *runs: Callable[[], float]) -> list[list[float]]:
    """Time runs in turns, A B A B: whatever slows the machine down for a while slows all of them down.

    Each is run once before, for the caches of the disk and the compiled modules.
    """
    for run in runs:
        run()
    rounds = [[run() for run in runs] for _ in range(repetitions)]
    return [list(times) for times in zip(*rounds, strict=True)]


def over(times: list[float], baseline: list[float]) -> list[float]:
    """How much longer each time is than the one measured just before it."""
    return [time - base for time, base in zip(times, baseline, strict=True)]


def pytest(
    *arguments: str, plugin: bool = True, home: Path | None = None, linger: float = 0, expected: int = 0
) -> float:
    """Run pytest in the project; gives the seconds it took.

    No plugin is loaded but ours: the others would add the same to all, and their noise.
    """
    command = [sys.executable, "-m", "pytest", *(PLUGIN if plugin else ()), *arguments]
    variables = {} if home is None else {"PRISTINE_HOME": str(home), "PRISTINE_LINGER": str(linger)}
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=PROJECT, env=environment(**variables), check=False, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    if done.returncode != expected:
        sys.exit(f"exit status {done.returncode} of {' '.join(command)}\n{done.stdout}")
    return seconds


def environment(**variables: str) -> Mapping[str, str]:
    """Our environment without what steers pytest or us."""
    # Without the last, each process would compile again what pytest rewrites of plugins.
    foreign = ("PRISTINE_", "PYTEST_", "TEST_DATABASE_URL", "COV_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **variables}


@contextmanager
def new_home() -> Iterator[Path]:
    """An empty PRISTINE_HOME; afterwards nothing of it is left, on the disk or running."""
    directory = Path(tempfile.mkdtemp(prefix="pristine-bench-"))
    # Where we are root, another account runs the server.
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        wait_for_processes(directory)
        shutil.rmtree(directory)


def wait_for_processes(home: Path) -> None:
    """Wait until the server and its keeper, whose command lines name the home, have ended."""
    processes = [
        process for process in psutil.process_iter(["cmdline"]) if str(home) in " ".join(process.info["cmdline"] or ())
    ]
    _, alive = psutil.wait_procs(processes, timeout=2 * LINGER)
    if alive:
        sys.exit(f"still running after {2 * LINGER} s: {alive}")


# What is shown


def table(rows: list[Row]) -> str:
    """The rows for people."""
    lines = [f"{'median of the runs':<46}{'seconds':>9}{'lowest':>9}{'highest':>9}{'over':>9}{'target':>9}"]
    for row in rows:
        times = f"{statistics.median(row.seconds):>9.3f}{min(row.seconds):>9.3f}{max(row.seconds):>9.3f}"
        difference = f"{statistics.median(row.over):>+9.3f}" if row.over else f"{'':9}"
        verdict = ""
        if row.target is not None:
            verdict = f"{row.target:>9.3f} {'met' if row.result() <= row.target else 'MISSED'}"
        lines.append(f"{row.name:<46}{times}{difference}{verdict}".rstrip())
    return "\n".join(lines)


def document(rows: list[Row], heavy: list[str]) -> dict[str, object]:
    """The result for programs, in seconds."""
    return {
        "python": sys.version.split()[0],
        "platform": sys.platform,
        "rows": [
            {"name": row.name, "seconds": row.seconds, "over": row.over, "target": row.target, "result": row.result()}
            for row in rows
        ],
        "imported by the unused plugin": heavy,
    }


if __name__ == "__main__":
    main()
