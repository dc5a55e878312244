"""Servers to measure on: started as the product starts its own, on a Unix socket, and gone when the run ends."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine import operating_system
from pytest_pristine.postgres import urls
from pytest_pristine.servers import wheels
from pytest_pristine.servers.binaries import Binaries
from pytest_pristine.servers.cluster import Cluster, Login

Connection = psycopg.Connection[tuple[object, ...]]

SUPERUSER, OWNER = "superuser", "owner"
ROLES = (SUPERUSER, OWNER)
# Names of roles: the second may create databases and nothing else.
_NAMES = {SUPERUSER: "postgres", OWNER: "bench_owner"}
_DEBIAN = Path("/usr/lib/postgresql")
# Seconds that a backend may take to end after its client has left.
_PATIENCE = 10

# Of the settings that decide how fast a server is; which others there are, see `cluster`.
_SETTINGS = (
    "server_version", "fsync", "synchronous_commit", "full_page_writes", "wal_level", "data_checksums",
    "shared_buffers", "max_wal_size", "max_connections", "max_locks_per_transaction", "autovacuum", "jit",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs.

    Attributes:
        major: Its major version.
        url: Its database `postgres`, as superuser.
    """

    major: int
    url: URL

    def world(self, role: str) -> World:
        """The server as `superuser` or `owner` sees it."""
        return World(self, role, self.url.set(username=_NAMES[role]))

    def settings(self) -> dict[str, str]:
        """What decides how fast it is, by the names of pg_settings."""
        with connect(self.url) as connection:
            rows = connection.execute(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(%s)", [list(_SETTINGS)]
            )
            return {str(name): str(value) for name, value in rows}


@dataclass(frozen=True, slots=True)
class World:
    """A server, and a role on it.

    Attributes:
        server: The server.
        role: `superuser`, or `owner`: of the tables, with CREATEDB.
        url: The database `postgres`, as the role.
    """

    server: Server
    role: str
    url: URL

    def database(self, name: str) -> URL:
        """The URL of a database, as the role."""
        return self.url.set(database=name)

    def create(self, name: str, template: str = "template0") -> None:
        """Make a database, in the way that is the fastest on a server that does not wait for the disk."""
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        with connect(self.url) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))

    def drop(self, name: str) -> None:
        """Drop a database, if it is there."""
        with connect(self.url) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def wait_until_empty(self, name: str) -> None:
        """Wait until no client is in a database: a backend ends a little after its client has left.

        Raises:
            TimeoutError: One stays.
        """
        query = "SELECT FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'"
        end = time.monotonic() + _PATIENCE
        with connect(self.url) as connection:
            while connection.execute(query, [name]).fetchone() is not None:
                if time.monotonic() > end:
                    raise TimeoutError(f"somebody stays in the database {name}")
                time.sleep(0.001)


def connect(url: URL) -> Connection:
    """Open a connection in autocommit mode that owes nothing to the product."""
    return psycopg.connect(**urls.conninfo(url), autocommit=True)  # type: ignore[arg-type]


def available() -> dict[int, Path | None]:
    """The major versions that there are programs of, with their directory; None for those of a wheel."""
    found: dict[int, Path | None] = {
        int(path.parent.name): path for path in sorted(_DEBIAN.glob("*/bin")) if (path / "postgres").exists()
    }
    return {**found, **{wheel.major: None for wheel in wheels.WHEELS if wheel.site() is not None}}


@contextmanager
def running(major: int, data: Path) -> Iterator[Server]:
    """Start a server; afterwards nothing of it is left.

    Args:
        major: One of `available`.
        data: The directory in which its own one is made.
    """
    account = operating_system.server_account()
    directory = Path(tempfile.mkdtemp(prefix="pristine-bench-", dir=data))
    # Where we are root, another account runs the server.
    directory.chmod(0o711)
    try:
        programs = _programs(major, directory)
        cluster = Cluster(directory / "server", account)
        cluster.directory.mkdir(mode=0o711)
        login = Login(_NAMES[SUPERUSER], "not asked for on a socket")
        cluster.initialise(programs, login)
        url = cluster.start(programs, login)
        try:
            with connect(url) as connection:
                statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB")
                connection.execute(statement.format(sql.Identifier(_NAMES[OWNER])))
            yield Server(programs.major, url)
        finally:
            cluster.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _programs(major: int, directory: Path) -> Binaries:
    path = available()[major]
    if path is not None:
        return Binaries(path, major)
    (wheel,) = (wheel for wheel in wheels.WHEELS if wheel.major == major)
    return wheel.provide(directory, operating_system.server_account())
