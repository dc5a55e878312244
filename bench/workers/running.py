"""Runs of pytest in the project, on a server in a home directory of their own."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

PROJECT = Path(__file__).resolve().parent / "project"
# Plugins of the two kinds of runs.
OURS = ("pytest_pristine.plugin", "databases.pristine")
PLAIN = ("databases.plain",)
# How many workers there are where there are many.
MANY = 8
# Seconds that the server outlives a run: longer than what is run in between. It is stopped when all is measured.
_LINGER = 900
# Seconds after which a run is given up.
_RUN_SECONDS = 600
# Seconds without a new database, or one less, after which a server counts as quiet; and for which that is awaited.
_QUIET, _PATIENCE = 1.0, 30
# What would steer pytest, the plugin or libpq, or have each process compile again what pytest rewrites.
_FOREIGN = ("PRISTINE_", "PYTEST_", "PG", "COV_", "TEST_DATABASE_URL", "DATABASE_URL", "PYTHONDONTWRITEBYTECODE")


class RunError(Exception):
    """A run failed, or left something running."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run that passed.

    Attributes:
        seconds: From the start of its process to its end.
        processor: Seconds that processors spent on pytest and its workers.
        first: Seconds from the start of the process to the call of the first test; None if no test noted it.
        all_began: The same to the call of that worker's first test which was the last to begin.
        server: Seconds that processors spent on the server.
        phases: Seconds that `setup`, `call` and `teardown` took, of each test.
    """

    seconds: float
    processor: float
    first: float | None
    all_began: float | None
    server: float
    phases: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Run:
    """A run that goes on.

    Attributes:
        process: pytest, which is the controller of its workers.
        began: When it was started, in seconds since the epoch: tests, in other processes, note their times so.
        notes: The directory of what tests note.
        home: The `PRISTINE_HOME` that it was given.
        spent: Seconds that processors had spent on other runs, and on the server, when it began.
    """

    process: subprocess.Popen[bytes]
    began: float
    notes: Path
    home: Path
    spent: tuple[float, float]

    def finish(self) -> Outcome:
        """Wait for its end.

        Raises:
            RunError: A test failed, or it took too long.
        """
        try:
            status = self.process.wait(_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            raise RunError(f"a run took more than {_RUN_SECONDS} s\n{self._output()}") from None
        seconds = time.time() - self.began
        if status != 0:
            raise RunError(f"exit status {status}\n{self._output()}")
        processor, server = (now - before for now, before in zip(_spent(self.home), self.spent, strict=True))
        moments = [float(path.read_text(encoding="utf-8")) - self.began for path in self.notes.glob("began-*")]
        phases = json.loads((self.notes / "phases.json").read_text(encoding="utf-8"))
        return Outcome(
            seconds, processor, min(moments, default=None), max(moments, default=None), server, phases
        )  # fmt: skip

    def _output(self) -> str:
        return (self.notes / "output").read_text(encoding="utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class Bench:
    """A home directory with a server that runs, and a template on it.

    Attributes:
        home: The `PRISTINE_HOME`.
        url: The server's maintenance database.
    """

    home: Path
    url: URL

    @contextmanager
    def started(self, plugins: Sequence[str], workers: int, module: str, tests: int) -> Iterator[Run]:
        """Start pytest; it is ended with the context if it has not ended by then.

        Args:
            plugins: `OURS` or `PLAIN`.
            workers: For `-n`; 0 runs without pytest-xdist, as who never heard of it does.
            module: The file of the tests.
            tests: How many there are to be.
        """
        with _started(
            self.home, plugins, workers, module, BENCH_TESTS=str(tests), BENCH_SERVER=_rendered(self.url)
        ) as run:
            yield run

    def run(self, plugins: Sequence[str], workers: int, module: str, tests: int) -> Outcome:
        """Run pytest to its end, after the server has become quiet."""
        self.settle()
        with self.started(plugins, workers, module, tests) as run:
            return run.finish()

    def settle(self) -> None:
        """Wait until nobody makes or drops databases: after a run the keeper makes what the next one will take."""
        with psycopg.connect(_conninfo(self.url), autocommit=True) as connection:
            known: list[object] = []
            since = began = time.monotonic()
            while time.monotonic() - since < _QUIET:
                found: list[object] = connection.execute("SELECT oid, datname FROM pg_database ORDER BY oid").fetchall()
                if found != known:
                    known, since = found, time.monotonic()
                if since - began > _PATIENCE:
                    raise RunError(f"databases come and go for {_PATIENCE} s: {found}")
                time.sleep(_QUIET / 20)


@contextmanager
def bench() -> Iterator[Bench]:
    """A new home with a server that runs, a template, and a database for each plain worker; all is gone afterwards."""
    with new_home() as home:
        with _started(home, OURS, 0, "test_server.py") as run:
            run.finish()
            told = json.loads((run.notes / "server.json").read_text(encoding="utf-8"))
        made = Bench(home, make_url(told["url"]))
        made.settle()
        with psycopg.connect(_conninfo(made.url), autocommit=True) as connection:
            for worker in ("main", *(f"gw{number}" for number in range(MANY))):
                names = sql.Identifier(f"bench_{worker}"), sql.Identifier(told["template"])
                connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY").format(*names))
        yield made


@contextmanager
def new_home() -> Iterator[Path]:
    """An empty `PRISTINE_HOME`; afterwards nothing of it is left, on the disk or running."""
    home = Path(tempfile.mkdtemp(prefix="pristine-bench-"))
    # Where we are root, another account runs the server.
    home.chmod(0o711)
    try:
        yield home
    finally:
        pristine(home, "prune", "--all")
        _, left = psutil.wait_procs(processes(home), timeout=_PATIENCE)
        if left:
            raise RunError(f"still running: {left}")
        shutil.rmtree(home)


def pristine(home: Path, *arguments: str) -> str:
    """Run the command line on a home; gives what it printed.

    Raises:
        RunError: It failed.
    """
    command = [sys.executable, "-c", "import sys; from pytest_pristine.cli import main; sys.exit(main())", *arguments]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=_environment(home),
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise RunError(f"exit status {done.returncode} of pristine {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return done.stdout


def processes(home: Path) -> list[psutil.Process]:
    """The server and its keeper: the processes whose command lines name the home."""
    return [process for process in psutil.process_iter() if str(home) in " ".join(_words(process))]


def keepers(home: Path) -> list[psutil.Process]:
    """The keeper of the server, if it runs."""
    return [process for process in processes(home) if "pytest_pristine.servers.keeper" in _words(process)]


def postmasters(home: Path) -> list[psutil.Process]:
    """The server's first process, if it runs. A new one that it starts has the same command line for a moment."""
    found = [process for process in processes(home) if Path(next(iter(_words(process)), "")).stem == "postgres"]
    pids = {process.pid for process in found}
    return [process for process in found if _parent(process) not in {None, *pids}]


def _parent(process: psutil.Process) -> int | None:
    """The id of a process's parent; None when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.ppid()
    return None


def _words(process: psutil.Process) -> list[str]:
    """The command line; nothing when the process has ended, or is the system's."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return process.cmdline()
    return []


@contextmanager
def _started(home: Path, plugins: Sequence[str], workers: int, module: str, **variables: str) -> Iterator[Run]:
    spread = ("-p", "xdist.plugin", "-n", str(workers)) if workers else ("-p", "no:xdist")
    loaded = [word for plugin in plugins for word in ("-p", plugin)]
    command = [sys.executable, "-m", "pytest", *loaded, *spread, module]
    with tempfile.TemporaryDirectory(prefix="pristine-bench-notes-") as directory:
        notes = Path(directory)
        environment = {**_environment(home), **variables, "BENCH_NOTES": directory}
        with (notes / "output").open("wb") as output:
            spent, began = _spent(home), time.time()
            process = subprocess.Popen(
                command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
            try:
                yield Run(process, began, notes, home, spent)
            finally:
                _end(process)


def _spent(home: Path) -> tuple[float, float]:
    """Seconds that processors have spent on runs that have ended, and on the server, if it runs."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime, sum(map(_spent_on, postmasters(home)))


def _spent_on(postmaster: psutil.Process) -> float:
    """Seconds that processors have spent on a server, its sessions that have ended included."""
    own = postmaster.cpu_times()
    total: float = own.user + own.system + own.children_user + own.children_system
    for child in postmaster.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return total


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a run that goes on, its workers too: they hold the server."""
    if process.poll() is None:
        workers = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait()
        psutil.wait_procs(workers, timeout=_PATIENCE)


def _environment(home: Path) -> dict[str, str]:
    """Our environment without what steers pytest, the plugin or libpq. No plugin is loaded but those that are named."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    own = {
        "PRISTINE_HOME": str(home),
        "PRISTINE_LINGER": str(_LINGER),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(PROJECT),
    }
    return {**kept, **own}


def _rendered(url: URL) -> str:
    return url.render_as_string(hide_password=False)


def _conninfo(url: URL) -> str:
    """The URL without SQLAlchemy's name for the driver."""
    return _rendered(url.set(drivername="postgresql"))
