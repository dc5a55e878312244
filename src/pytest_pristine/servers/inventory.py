"""What there is of ours on this machine: servers, the databases on them, and the space they take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine.errors import ServerError
from pytest_pristine.postgres import connections, databases, urls
from pytest_pristine.servers import home, keeper, leases, wheels

BINARIES = "binaries"


@dataclass(frozen=True, slots=True)
class Database:
    """A database of ours.

    Attributes:
        name: Its name.
        kind: `template`, `clone`, `target`, `spare` or `scratch`.
        project: Label of its project.
        run: Id of the run that has it, or made it.
        used: When a template was used last, in UTC, as ISO 8601 has it; empty for others.
        sessions: How many sessions are connected to it.
        bytes: Its size.
    """

    name: str
    kind: str
    project: str
    run: str
    used: str
    sessions: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Server:
    """A server of ours.

    Attributes:
        name: The name of its directory: `embedded-18`, `up-55432`.
        directory: The directory.
        state: `running`, `stopped` or `died`.
        address: Where it listens, or did before it died, without its password; None when it was stopped.
        pid: Its main process; None when it does not run, or not as a process of this machine.
        leases: How many runs hold it.
        keeper: The process that will stop it; None when nothing will.
        bytes: The space that its directory takes.
        databases: Our databases on it; empty when it does not run.
    """

    name: str
    directory: str
    state: str
    address: str | None
    pid: int | None
    leases: int
    keeper: int | None
    bytes: int
    databases: tuple[Database, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a wheel's programs, made because the account that runs servers cannot execute the originals.

    Attributes:
        name: Distribution and version.
        directory: Where it is.
        bytes: The space that it takes.
        installed: That version is the one that is installed.
    """

    name: str
    directory: str
    bytes: int
    installed: bool


@dataclass(frozen=True, slots=True)
class Inventory:
    """All of it.

    Attributes:
        home: The directory that everything is in.
        bytes: The space that it takes.
        servers: Servers.
        copies: Copies of programs.
    """

    home: str
    bytes: int
    servers: tuple[Server, ...]
    copies: tuple[Copy, ...]


def take(directory: Path) -> Inventory:
    """Look at everything in our home directory.

    Raises:
        SettingError: It is not ours to read.
    """
    servers = tuple(_server(path) for path in home.servers(directory) if path.is_dir())
    return Inventory(str(directory), size(directory), servers, tuple(_copies(directory)))


def size(path: Path) -> int:
    """The bytes that a directory's files take. Files that come and go while we look do not matter."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118 - thousands of files
            except OSError:
                continue
    return total


def _server(directory: Path) -> Server:
    kept = keeper.at(directory)
    with kept.lock():
        url, held, keeping = kept.running(), leases.held(directory), keeper.process(directory)
        last = kept.address()
    died = url is None and last is not None
    return Server(
        directory.name, str(directory), "running" if url is not None else "died" if died else "stopped",
        None if last is None else urls.show(last), kept.pid(), held, None if keeping is None else keeping.pid,
        size(directory), () if url is None else tuple(_databases(url)),
    )  # fmt: skip


def _databases(url: URL) -> Iterator[Database]:
    """Our databases on a server; none when it does not answer just now."""
    try:
        connection = connections.connect(url.set(database="postgres"), "status")
    except ServerError:
        return
    with connection:
        for each in databases.ours(connection):
            mark = each.mark
            size_of = databases.size(connection, each.oid)
            yield Database(each.name, mark.kind, mark.project, mark.run, mark.used, each.sessions, size_of)


def _copies(directory: Path) -> Iterator[Copy]:
    installed = {wheel.copy_name() for wheel in wheels.WHEELS if wheel.site() is not None}
    for path in sorted((directory / BINARIES).glob("[!.]*")):
        if path.is_dir():
            yield Copy(path.name, str(path), size(path), path.name in installed)
