"""A Postgres server of our own: its directory, its life, its address.

<directory>/            ours
    data/               the data directory; only the account that runs the server can enter it. The log is in it
    socket/             the same, for the Unix socket
    server.json         address and password; only we can read it
    programs            the directory of the programs it was started with
    making/             the data directory while it is made
    lock                held while the server is made, started or stopped
    leases/             see `leases`
"""

from __future__ import annotations

import itertools
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock
from sqlalchemy.engine import URL

from pytest_pristine import clock, operating_system, progress
from pytest_pristine.errors import StartError
from pytest_pristine.operating_system import Account
from pytest_pristine.postgres import connections, log_lines
from pytest_pristine.servers import address, aftermath
from pytest_pristine.servers.binaries import Binaries

LOOPBACK = "127.0.0.1"
PROGRAMS = "programs"
# Bytes that a new server needs, and some more: its first segment of WAL alone has 16 MB.
_LITTLE = 64 * 2**20
MORE_SPACE = "free some space: pristine prune removes what nobody uses; or set PRISTINE_HOME to another disk"
# Seconds that a server may take to come up, recovery after a crash included, and to stop.
START_TIMEOUT = 60
STOP_TIMEOUT = 30
# Seconds between two looks at a server that is to stop.
_INTERVAL = 0.02
# The line of its pid file in which a server says what it does, counted from 0 (LOCK_FILE_LINE_PM_STATUS).
_STATUS_LINE = 7
# Lines of the server's log that an error quotes.
_LOG_LINES = 15
# TCP ports to try: another program may take a free one before the server does.
_PORT_ATTEMPTS = 5

# A test server is thrown away after a crash of the machine, so nothing need reach the disk. The table of locks has its
# usual size: each look at pg_locks, of which there are two for every test, goes through all of it.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_wal_size": "2GB",
    # Code under test may commit in two phases.
    "max_prepared_transactions": "10",
    # For schema coverage, which reads in the log what other processes met. To count a call of a function takes a tenth
    # of a microsecond.
    "log_line_prefix": log_lines.PREFIX,
    "track_functions": "all",
}


@dataclass(frozen=True, slots=True)
class Login:
    """Who the server's superuser is.

    Attributes:
        user: The role's name.
        password: Its password, asked for over TCP alone.
        database: The database made for it, where it is not there from the start.
    """

    user: str
    password: str = field(repr=False)
    database: str = "postgres"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server in a directory of ours. Its methods are for whoever holds `lock()`.

    Attributes:
        directory: See the module.
        account: The account that runs it; None for our own.
    """

    directory: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def log(self) -> Path:
        """The server's log, in the data directory: the server writes it as its own account."""
        return self.data / "server.log"

    @property
    def _workshop(self) -> Path:
        """Where the data directory is made."""
        return self.directory / "making"

    def lock(self) -> FileLock:
        """The lock under which the server is made, started and stopped."""
        return address.lock(self.directory)

    def running(self) -> URL | None:
        """The address of the server; None when it does not run.

        That it runs is told by its process: one that takes no more connections is busy, and others are using it.
        """
        return self.address() if self.postmaster() is not None else None

    def address(self) -> URL | None:
        """The address that the server was started with last; None when it never was."""
        return address.read(self.directory)

    def is_stopping(self) -> bool:
        """Whether it runs and was told to stop: it may wait for clients to go, and lets no other in."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except (FileNotFoundError, PermissionError):
            return False
        return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "stopping" and self.postmaster() is not None

    def initialise(self, binaries: Binaries, login: Login) -> None:
        """Make the data directory, whole or not at all.

        Raises:
            StartError: initdb failed.
        """
        if (self.data / "PG_VERSION").exists():
            return
        workshop = self._workshop
        aftermath.clear_workshop(workshop)
        operating_system.make_private(workshop, self.account)
        try:
            with progress.doing(f"making a data directory for PostgreSQL {binaries.major}"):
                self._initdb(binaries, login, workshop)
            (workshop / "data").rename(self.data)
        except OSError as error:
            raise StartError(f"a data directory in {self.data}", str(error), [MORE_SPACE]) from None
        finally:
            shutil.rmtree(workshop, ignore_errors=True)

    def _initdb(self, binaries: Binaries, login: Login, workshop: Path) -> None:
        password = workshop / "password"
        operating_system.write_private(password, login.password, self.account)
        command = [
            binaries.program("initdb"), "-D", str(workshop / "data"), "-U", login.user, f"--pwfile={password}",
            "--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", "--no-locale",
            "--no-sync", "--no-instructions",
        ]  # fmt: skip
        if binaries.major >= 17:  # noqa: PLR2004 - the first with a locale that needs nothing of the system
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        done = operating_system.run_as(self.account, command, cwd=self.directory)
        if done.returncode != 0:
            raise StartError(
                f"a data directory in {self.data}", f"initdb failed:\n{_without_password(done.stdout)}",
                [MORE_SPACE] if is_full(self.directory) else [],
            )  # fmt: skip

    def start(self, binaries: Binaries, login: Login, port: int | None = None) -> URL:
        """Start the server and wait until it answers.

        Args:
            binaries: The programs.
            login: The one that `initialise` was given. Its database need not be there yet.
            port: Listen on this port of the loopback interface. Without one it is a Unix socket where the system
                has them, else any free port.

        Raises:
            StartError: It did not come up; the log is quoted.
        """
        sockets = self.directory / "socket"
        if port is None and operating_system.sockets_work(sockets):
            operating_system.make_private(sockets, self.account)
            options = {"listen_addresses": "", "unix_socket_directories": str(sockets), "port": "5432"}
            url = URL.create(
                "postgresql+psycopg", login.user, port=5432, database=login.database, query={"host": str(sockets)}
            )
            self._pg_ctl_start(binaries, options, url)
        else:
            url = self._start_on_tcp(binaries, login, port)
        if not connections.answers(url.set(database="postgres")):
            raise self._did_not_start("a server that rejects our connection")
        return url

    def _start_on_tcp(self, binaries: Binaries, login: Login, port: int | None) -> URL:
        for attempts_left in reversed(range(1 if port else _PORT_ATTEMPTS)):
            chosen = port or operating_system.free_port(LOOPBACK)
            options = {"listen_addresses": LOOPBACK, "unix_socket_directories": "", "port": str(chosen)}
            url = URL.create(
                "postgresql+psycopg", login.user, login.password, LOOPBACK, chosen, database=login.database
            )
            try:
                self._pg_ctl_start(binaries, options, url)
            except StartError:
                if not attempts_left:
                    raise
            else:
                return url
        raise AssertionError("unreachable")

    def _pg_ctl_start(self, binaries: Binaries, options: dict[str, str], url: URL) -> None:
        self._configure({**SETTINGS, **options})
        # Before it runs: if we are killed now, others find it, and stop it.
        address.write(self.directory, url)
        (self.directory / PROGRAMS).write_text(str(binaries.directory), encoding="utf-8")
        command = [
            binaries.program("pg_ctl"), "start", "-D", str(self.data), "-l", str(self.log), "-w",
            "-t", str(START_TIMEOUT), "-s",
        ]  # fmt: skip
        with progress.doing(f"starting PostgreSQL {binaries.major}"):
            done = operating_system.run_as(self.account, command, cwd=self.directory)
        if done.returncode != 0:
            raise self._did_not_start(f"pg_ctl failed: {done.stdout.strip()}")

    def _configure(self, options: dict[str, str]) -> None:
        """Write the options where the server reads them last, so that they also hold when it is started by hand."""
        quoted = (f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in options.items())
        operating_system.write_private(self.data / "postgresql.auto.conf", "".join(quoted), self.account)

    def _did_not_start(self, found: str) -> StartError:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines() if self.log.exists() else []
        quoted = "\n".join(lines[-_LOG_LINES:])
        remedies = [f"read {self.log}", *([MORE_SPACE] if is_full(self.directory) else [])]
        return StartError(f"a Postgres server in {self.directory}", f"{found}\n{quoted}".strip(), remedies)

    def stop(self) -> None:
        """Stop the server if it runs, ending all sessions, and forget where it was.

        Raises:
            StartError: It did not stop.
        """
        self.halt()
        address.forget(self.directory)

    def halt(self) -> None:
        """Stop the server if it runs, or clear up after it if it died. It is to be started again.

        Raises:
            StartError: It did not stop.
        """
        process = self.postmaster()
        if process is not None:
            # On a full disk, say, it can write no checkpoint, which an orderly stop begins with.
            with progress.doing(f"stopping the server in {self.directory}"):
                stopped = any(self._stop(process.pid, at_once=at_once) for at_once in (False, True))
            if not stopped:
                found = f"process {process.pid}, which goes on {STOP_TIMEOUT} s after it was told to"
                raise StartError(f"to stop the server in {self.directory}", found, [f"read {self.log}"])
        # One that stopped in order has removed it. It may have been killed just when it was told to.
        if self._is_ours() and (self.data / "postmaster.pid").exists():
            aftermath.clear(self.data, self._program("postgres"), self.account)
        shutil.rmtree(self.directory / "socket", ignore_errors=True)
        aftermath.clear_workshop(self._workshop)

    def _stop(self, pid: int, *, at_once: bool) -> bool:
        operating_system.end_postmaster(pid, self._program("pg_ctl"), self.data, at_once=at_once)
        return self._wait_until_stopped()

    def _wait_until_stopped(self) -> bool:
        """Whether the server has stopped in time. Its process may stay for long, if nobody reaps it."""
        end = clock.now() + STOP_TIMEOUT
        while self.postmaster() is not None:
            if clock.now() > end:
                return False
            time.sleep(_INTERVAL)
        return True

    def _program(self, name: str) -> Path:
        """One of the programs that it was started with, which may have been removed since."""
        path = self.directory / PROGRAMS
        return operating_system.program(Path(path.read_text(encoding="utf-8")) if path.exists() else Path(), name)

    def holds_data(self) -> bool:
        """Whether there is more than what is left of a data directory that was not made, or not removed, to its end."""
        if not self.data.exists():
            return False
        return not self._is_ours() or self.version() is not None or self.address() is not None

    def version(self) -> str | None:
        """The major version that made the data directory; None when nothing says so."""
        try:
            return (self.data / "PG_VERSION").read_text(encoding="utf-8").strip()
        except (FileNotFoundError, PermissionError):
            return None

    def _is_ours(self) -> bool:
        """Whether there is a data directory of the account that runs the server: nothing else can be looked into."""
        return self.data.exists() and operating_system.reason_not_owned(self.data, self.account) is None

    def reason_unusable(self, binaries: Binaries) -> str | None:
        """Why the data directory is none of these programs and this account; None when it may be, or is not there."""
        if not self.data.exists():
            return None
        # First: what belongs to somebody else cannot be read.
        reason = operating_system.reason_not_owned(self.data, self.account)
        if reason is not None:
            return reason
        found = self.version()
        if found is None:
            return "it holds no database cluster"
        return None if found == str(binaries.major) else f"PostgreSQL {found} made it, not {binaries.major}"

    def discard(self) -> None:
        """Remove everything but the directory itself, which holds the lock. The server does not run."""
        # First: if we are killed now, nobody is to take what is left for a data directory.
        (self.data / "PG_VERSION").unlink(missing_ok=True)
        aftermath.clear_workshop(self._workshop)
        for name in ("data", "socket"):
            path = self.directory / name
            if path.exists():
                shutil.rmtree(path)
        address.forget(self.directory)
        (self.directory / PROGRAMS).unlink(missing_ok=True)

    def pid(self) -> int | None:
        """The id of the server's main process; None when it does not run."""
        process = self.postmaster()
        return None if process is None else process.pid

    def postmaster(self) -> psutil.Process | None:
        """The server's main process; None when it does not run.

        The pid file outlives a crash. Its number may then belong to a process that nobody has reaped, or by now to
        another one: the server is the one that was started with this data directory.
        """
        path = self.data / "postmaster.pid"
        try:
            process = psutil.Process(int(path.read_text(encoding="utf-8").split("\n", 1)[0]))
            return process if self._was_started_here(process) else None
        except (FileNotFoundError, PermissionError, ValueError, psutil.NoSuchProcess, psutil.AccessDenied):
            return None

    def _was_started_here(self, process: psutil.Process) -> bool:
        """Whether a process is the server, by its command line; by its directory if somebody started it by hand."""
        if str(self.data) in process.cmdline():
            return True
        return process.name().startswith("postgres") and process.cwd() == str(self.data.resolve())


def _without_password(said: str) -> str:
    """What initdb said, up to where it quotes the statement that sets the password."""
    kept = itertools.takewhile(lambda line: "PASSWORD" not in line, said.strip().splitlines())
    return "\n".join(kept)


def is_full(directory: Path) -> bool:
    """Whether the file system has not even room for what a server starts with."""
    return shutil.disk_usage(directory).free < _LITTLE
