"""What there is of ours on this machine: servers, the databases on them, and the space they take."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine.errors import NotAPostgresUrlError, ServerError
from pytest_pristine.postgres import connections, databases, lapsed, locks, marks, urls
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.servers import home, keeper, leases, named, wheels
from pytest_pristine.settings import Value

BINARIES = "binaries"


@dataclass(frozen=True, slots=True)
class Database:
    """A database of ours.

    Attributes:
        name: Its name.
        kind: `template`, `layer`, `clone`, `target`, `spare`, `kept` or `scratch`.
        project: Label of its project.
        run: Id of the run that has it, or made it.
        since: When it was made, in UTC, as ISO 8601 has it; empty for templates, layers and spares.
        used: When a template or layer was used last, in UTC, as ISO 8601 has it; empty for others.
        test: The failed test that left it so, of one that was kept; empty for others.
        sessions: How many sessions are connected to it.
        bytes: Its size.
        loader: Of a layer, what loaded its data; empty for others.
        grown: Of a template that was built on another, how much was added; empty for others.
    """

    name: str
    kind: str
    project: str
    run: str
    since: str
    used: str
    test: str
    sessions: int
    bytes: int
    loader: str = ""
    grown: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has databases on a server.

    Attributes:
        id: Its id, which the marks of its databases have.
        project: Label of its project.
        owner: Whose it is, and where: `alice@build7, process 4711`.
        since: When its first database was made, in UTC, as ISO 8601 has it.
        alive: Sessions of it hold its lease. The databases of one that is over are dropped by the next run.
        databases: How many it has.
        bytes: The size of these.
    """

    id: str
    project: str
    owner: str
    since: str
    alive: bool
    databases: int
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
        runs: Runs that have databases on it, the oldest first; empty when it does not run.
        databases: Our databases on it; the same.
    """

    name: str
    directory: str
    state: str
    address: str | None
    pid: int | None
    leases: int
    keeper: int | None
    bytes: int
    runs: tuple[Run, ...]
    databases: tuple[Database, ...]


@dataclass(frozen=True, slots=True)
class Named:
    """The server that the settings name by URL.

    Attributes:
        address: The URL, without its password; empty when it is none.
        origin: The setting.
        problem: Why it cannot be looked at; empty when it can.
        runs: Runs that have databases on it, the oldest first.
        databases: Our databases on it.
    """

    address: str
    origin: str
    problem: str
    runs: tuple[Run, ...] = ()
    databases: tuple[Database, ...] = ()


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
        named: The server that the settings name by URL; None where they name none.
    """

    home: str
    bytes: int
    servers: tuple[Server, ...]
    copies: tuple[Copy, ...]
    named: Named | None = None


def take(directory: Path, url: Value[str | None] | None = None) -> Inventory:
    """Look at everything in our home directory, and on the server that the settings name.

    Args:
        directory: The home directory.
        url: The setting `pristine_url`; None to look at no other server.

    Raises:
        SettingError: The directory is not ours to read.
    """
    servers = tuple(_server(path) for path in home.servers(directory) if path.is_dir())
    there = None if url is None or url.value is None else _named(url.value, url.origin)
    return Inventory(str(directory), size(directory), servers, tuple(_copies(directory)), there)


def maintenance(url: URL, purpose: str) -> connections.Connection:
    """A connection to the database of a server that every run looks at, or to the one that is named.

    Raises:
        UnreachableError: There is no connection to be had.
    """
    for name in connections.MAINTENANCE_DATABASES:
        with contextlib.suppress(ServerError):
            return connections.connect(url.set(database=name), purpose)
    return connections.connect(url, purpose)


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
        size(directory), *(((), ()) if url is None else _contents_if_it_answers(url)),
    )  # fmt: skip


def _named(text: str, origin: str) -> Named:
    try:
        url = urls.parse(text, origin)
    except NotAPostgresUrlError as error:
        return Named("", origin, error.found)
    try:
        named.connect(url, "status", origin).close()
        return Named(urls.show(url), origin, "", *_contents(url))
    except ServerError as error:
        return Named(urls.show(url), origin, error.found)
    except psycopg.OperationalError as error:
        return Named(urls.show(url), origin, str(error).strip())


def _contents_if_it_answers(url: URL) -> tuple[tuple[Run, ...], tuple[Database, ...]]:
    try:
        return _contents(url)
    except (ServerError, psycopg.OperationalError):
        return (), ()  # it stops just now, say


def _contents(url: URL) -> tuple[tuple[Run, ...], tuple[Database, ...]]:
    """The runs and our databases on a server."""
    with maintenance(url, "status") as connection:
        found = [
            (each.mark, Database(
                each.name, each.mark.kind, each.mark.project, each.mark.run, each.mark.since, each.mark.used,
                each.mark.test, each.sessions, databases.size(connection, each.oid), each.mark.loader,
                each.mark.grown,
            )) for each in databases.ours(connection)
        ]  # fmt: skip
        theirs: dict[str, list[tuple[Mark, Database]]] = {}
        for mark, database in found:
            if mark.run and mark.kind not in (marks.TEMPLATE, marks.LAYER, marks.SPARE, marks.KEPT):
                theirs.setdefault(mark.run, []).append((mark, database))
        runs = [_run(connection, run, group) for run, group in theirs.items()]
    # What a run leaves of itself for good is the database that the user named.
    lasting = [run for run in runs if run.alive or any(mark.kind in lapsed.KINDS for mark, _ in theirs[run.id])]
    return tuple(sorted(lasting, key=lambda run: run.since)), tuple(database for _, database in found)


def _run(connection: connections.Connection, run: str, group: list[tuple[Mark, Database]]) -> Run:
    first = min((mark for mark, _ in group), key=lambda mark: mark.since)
    return Run(
        run, first.project, first.owner, first.since, locks.is_held(connection, locks.lease(run)),
        len(group), sum(database.bytes for _, database in group),
    )  # fmt: skip


def _copies(directory: Path) -> Iterator[Copy]:
    installed = {wheel.copy_name() for wheel in wheels.WHEELS if wheel.site() is not None}
    for path in sorted((directory / BINARIES).glob("[!.]*")):
        if path.is_dir():
            yield Copy(path.name, str(path), size(path), path.name in installed)
