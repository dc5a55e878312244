"""What eight workers and their server take, beside eight plain workers and a server that does nothing."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from rows import AT_MOST, Row, Target
from running import MANY, OURS, PLAIN, Bench, RunError, bench, keepers, new_home, postmasters, pristine

# Seconds between two looks.
_INTERVAL = 0.1
# Looks that a server without work is given: nothing changes.
_LOOKS = 5
_KB_PER_MB = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """Memory in use at one moment, in MB; what several processes share is divided among them.

    Attributes:
        pytest: The controller and its workers.
        server: Postgres' processes.
        keeper: The process that stops the server one day.
    """

    pytest: float
    server: float
    keeper: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.pytest + self.server + self.keeper


def measure(tests: int, repetitions: int) -> Iterator[Row]:
    """Run a suite with eight workers with our fixtures, and plain; and look at a server without work.

    Args:
        tests: How many the suite has.
        repetitions: How often. Each has servers of its own: one that has run for a while takes more.
    """
    ours, plain, idle = [], [], []
    for _ in range(repetitions):
        with bench() as made:
            made.run(OURS, 2, "test_writes.py", 4)  # for compiled modules: to compile takes memory
            ours.append(_peak(made, OURS, tests))
            plain.append(_peak(made, PLAIN, tests))
        idle.append(_idle_server())
    yield Row(f"memory: our run, pytest and {MANY} workers", "MB", [each.pytest for each in ours])
    yield Row("memory: our run, Postgres", "MB", [each.server for each in ours])
    yield Row("memory: our run, the server's keeper", "MB", [each.keeper for each in ours])
    yield Row("memory: our run", "MB", [each.total for each in ours])
    yield Row(f"memory: plain, pytest and {MANY} workers", "MB", [each.pytest for each in plain])
    yield Row("memory: plain, the Postgres they used (not counted)", "MB", [each.server for each in plain])
    yield Row(f"memory: a server with {MANY} idle connections", "MB", idle)
    ratios = [one.total / (two.pytest + server) for one, two, server in zip(ours, plain, idle, strict=True)]
    yield Row("memory: our run over plain and a server", "times", ratios, Target(AT_MOST, 1.3))


def _peak(made: Bench, plugins: Sequence[str], tests: int) -> Sample:
    """The look at which a run took most. What it is compared with leaves the server out, and so does its peak."""
    made.settle()
    samples: list[Sample] = []
    with made.started(plugins, MANY, "test_writes.py", tests) as run:
        while run.process.poll() is None:
            looked = psutil.Process(run.process.pid)
            samples.append(Sample(_pss(_family(looked)), *_server(made.home)))
            time.sleep(_INTERVAL)
        run.finish()
    return max(samples, key=lambda sample: sample.total if plugins == OURS else sample.pytest)


def _idle_server() -> float:
    """What a server of ours with a connection for each worker takes, in MB, when it has done nothing yet."""
    with new_home() as home, ExitStack() as stack:
        password = secrets.token_hex(16)
        port = str(_free_port())
        told = json.loads(pristine(home, "up", "--json", "--port", port, "--password", password))
        stack.callback(pristine, home, "down", "--port", port, "--force")
        conninfo = f"host=127.0.0.1 port={port} user=postgres dbname=postgres password={password}"
        for _ in range(MANY):
            stack.enter_context(psycopg.connect(conninfo, autocommit=True)).execute("SELECT 1")
        looks = []
        for _ in range(_LOOKS):
            time.sleep(_INTERVAL)
            looks.append(_pss(_family(psutil.Process(int(told["pid"])))))
        return statistics.median(looks)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _server(home: Path) -> tuple[float, float]:
    """What the processes of the home's server take, and its keeper, in MB."""
    server, keeper = postmasters(home), keepers(home)
    if len(server) != 1 or len(keeper) != 1:
        raise RunError(f"one server and one keeper were sought, and found: {server}, {keeper}")
    return _pss(_family(server[0])), _pss(keeper)


def _family(process: psutil.Process) -> list[psutil.Process]:
    """A process and all that descend from it; none when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def _pss(several: Sequence[psutil.Process]) -> float:
    """The memory of processes in MB: their own, and their shares of what others use as well."""
    return sum(map(_pss_of, several)) / _KB_PER_MB


def _pss_of(process: psutil.Process) -> int:
    """The proportional set size in kB; 0 when the process has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
