"""Where a trial takes place: a home, a project, perhaps a server of the user's, and the runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql

from pytest_pristine.servers.cluster import Cluster, Login
from tests.conftest import Home, Project, Server, binaries, new_cluster, new_home, wait_until
from tests.crashes import phases, project
from tests.crashes.phases import Process
from tests.crashes.trials import KEEPER, POSTMASTER, RUN, WORKER, Trial

# Seconds that a run may take from the moment on at which the signal is sent, on a busy machine.
LIMIT = 90
# The database that the user's server has for us.
NAMED = "app_test"
# Postgres's programs that are no servers, and the servers that initdb talks to.
_NO_SERVERS = ("--single", "--boot", "--check", "/making/")
# How pytest-xdist starts a worker.
_WORKER = "exec(eval(sys.stdin.readline()))"


class HungError(Exception):
    """Something did not end in time."""


@dataclass
class Running:
    """A run of pytest that was started.

    Attributes:
        name: What it is in the trial: `victim`, `second`, `next`.
        process: Its main process.
        output: The file that it writes to.
        marks: The directory of its marks.
        workers: How many workers it has.
    """

    name: str
    process: subprocess.Popen[bytes]
    output: Path
    marks: Path
    workers: int

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.process.poll() is not None

    def text(self) -> str:
        """What it wrote until now."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    def phase(self) -> str:
        """What it is doing."""
        return phases.of(self.process.pid, self.marks, phases.processes())

    def wait(self) -> int:
        """Wait for its end; gives its exit status."""
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            raise HungError(f"the {self.name} run has not ended within {LIMIT} s") from None


@dataclass
class Stage:
    """The place of one trial.

    Attributes:
        trial: What is tried.
        kept: A directory for what the runs write.
        runs: Those that were started.
    """

    trial: Trial
    kept: Path
    runs: list[Running] = field(default_factory=list)
    home: Home = field(init=False)
    _project: Project = field(init=False)
    _external: tuple[Cluster, Server] | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        """Make it."""
        self.home = self._stack.enter_context(new_home())
        self._project = project.make(self.home.path / "project", self.home)
        if self.trial.kind == "external":
            self._external = _, server = self._stack.enter_context(new_cluster())
            with server.connect() as client:
                client.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAMED)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Keep the logs, and end everything."""
        for log in [*self.home.path.glob("servers/*/keeper.log"), *self.home.path.glob("servers/*/data/server.log")]:
            name = "-".join(log.relative_to(self.home.path / "servers").parts)
            (self.kept / name).write_bytes(log.read_bytes())
        if self._external is not None:
            (self.kept / "external-server.log").write_bytes(self._external[0].log.read_bytes())
        for run in self.runs:
            run.process.kill()
            run.process.wait()
        self._stack.close()

    def start(self, name: str, *, workers: int = 0, pace: float = 0.0, linger: float | None = None) -> Running:
        """Start a run.

        Args:
            name: What it is called.
            workers: Of pytest-xdist.
            pace: Seconds that each test takes.
            linger: Seconds that the server is to stay after it; the trial's when not given.
        """
        marks = self.home.path / f"marks-{name}"
        marks.mkdir()
        output = self.kept / f"{name}.txt"
        arguments = ("-p", "xdist", "-n", str(workers)) if workers else ()
        environ = {
            **self._project.environ, project.MARKS: str(marks), project.PACE: str(pace),
            "PRISTINE_LINGER": str(self.trial.linger if linger is None else linger),
            # Whatever hangs is aborted, and says where it is.
            "PYTHONFAULTHANDLER": "1",
            "PYTHONUNBUFFERED": "1",
        }  # fmt: skip
        if self._external is not None:
            url = self._external[1].url.set(drivername="postgresql", database=NAMED)
            environ["TEST_DATABASE_URL"] = url.render_as_string(hide_password=False)
        with output.open("wb") as file:
            # A group of its own: the terminal sends Ctrl-C to all that belong to it.
            process = subprocess.Popen(
                self._project.command("-rfE", *arguments), cwd=self._project.path, env=environ,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        run = Running(name, process, output, marks, workers)
        self.runs.append(run)
        return run

    def targets(self, victim: Running, there: list[Process]) -> dict[str, int]:
        """The processes that may be killed now: the id of each by what it is."""
        found = {}
        if not victim.over:
            found[RUN] = victim.process.pid
            workers = [each.pid for each in there if each.parent == victim.process.pid and _WORKER in each.line]
            if workers:
                found[WORKER] = workers[0]
        keepers = [each.pid for each in there if "pytest_pristine.servers.keeper" in each.line]
        if keepers:
            found[KEEPER] = keepers[0]
        postmasters = self._postmasters(there)
        if postmasters and not (self._external is not None and victim.over):
            found[POSTMASTER] = postmasters[0]
        return found

    def _postmasters(self, there: list[Process]) -> list[int]:
        home = str(self.home.path if self._external is None else self._external[0].directory)
        servers = [
            each for each in there
            if each.name.startswith("postgres") and f"-D {home}/" in each.line
            and not any(word in each.line for word in _NO_SERVERS)
        ]  # fmt: skip
        # A child looks like its parent for a moment.
        pids = {each.pid for each in servers}
        return [each.pid for each in servers if each.parent not in pids]

    def strike(self, pid: int) -> None:
        """Send the signal; a run's Ctrl-C goes to its process group, as a terminal does it."""
        number = signal.Signals[self.trial.signal]
        if self.trial.target == RUN and number == signal.SIGINT:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)

    def mend(self) -> None:
        """Start the user's server again, if it does not run, as the user would."""
        if self._external is None:
            return
        cluster, server = self._external
        wait_until(lambda: cluster.postmaster() is None or _takes_sessions(server), "the server has stopped, or runs")
        if cluster.postmaster() is None:
            cluster.halt()
            login = Login(str(server.url.username), str(server.url.password))
            cluster.start(binaries(), login, server.url.port)

    @property
    def external(self) -> Server | None:
        """The user's server."""
        return None if self._external is None else self._external[1]

    def stop_external(self) -> None:
        """Stop the user's server."""
        if self._external is not None:
            self._external[0].halt()


def _takes_sessions(server: Server) -> bool:
    try:
        server.connect().close()
    except psycopg.OperationalError:
        return False
    return True


def until(true: Callable[[], object], what: str, seconds: float = LIMIT) -> None:
    """Wait until a function gives true.

    Raises:
        HungError: It took too long.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise HungError(f"not within {seconds} s: {what}")
        time.sleep(0.02)
