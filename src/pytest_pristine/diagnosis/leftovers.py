"""What runs and servers left behind that died: servers, databases, containers, directories."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine.diagnosis import findings
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding
from pytest_pristine.errors import NotAPostgresUrlError, ServerError
from pytest_pristine.postgres import connections, lapsed, urls
from pytest_pristine.servers import address, home, keeper, leases, shared, up
from pytest_pristine.servers.cluster import PROGRAMS
from pytest_pristine.servers.wheels import WHEELS
from pytest_pristine.verify.sqlite_guard import directories

_PRUNE = "pristine prune"
_SUBJECT = "leftovers"


def check(context: Context) -> Iterator[Finding]:
    """Look at everything of ours on this machine, and at the database that the settings name."""
    directory = home.locate(context.settings.home)
    found = [
        *_shared(directory),
        *_up(directory),
        *_named(context),
        *_copies(directory),
        *_containers(context),
        *_notes(),
    ]
    yield from found
    if not found:
        yield findings.ok(_SUBJECT, "none")


def _shared(directory: Path) -> Iterator[Finding]:
    """Servers that runs share: each has a keeper as long as it runs, and an address no longer than that."""
    for server in shared.servers(directory):
        name = server.directory.name
        if server.url is not None:
            if keeper.process(server.directory) is None:
                held = f"{server.leases} runs hold it" if server.leases else "no run holds it"
                yield findings.warning(
                    name, f"it runs and has no keeper, so that nobody stops it; {held}",
                    "the next run starts one", f"or {_PRUNE}",
                )  # fmt: skip
            yield from _databases(name, server.url)
        elif address.read(server.directory) is not None:
            yield findings.warning(name, "it died; what it holds is a cache", "the next run starts it anew", _PRUNE)
        yield from _programs(server.directory)


def _programs(server: Path) -> Iterator[Finding]:
    """Whether the programs are there that a server was started with last."""
    path = server / PROGRAMS
    if path.exists():
        programs = Path(path.read_text(encoding="utf-8"))
        if not programs.is_dir():
            yield findings.warning(server.name, f"its programs in {programs} are gone", _PRUNE)


def _up(directory: Path) -> Iterator[Finding]:
    for server in up.servers(directory):
        if server.pid is None:
            found = f"the server at {urls.show(server.url)} died"
            yield findings.warning(
                server.directory.name, found, f"to have it back with its data: pristine up --port {server.port}",
                f"or to remove it: pristine down --port {server.port}",
            )  # fmt: skip
        else:
            yield from _databases(server.directory.name, server.url)


def _named(context: Context) -> Iterator[Finding]:
    """Databases of ours beside the one that the settings name."""
    value = context.settings.url
    try:
        url = None if value.value is None else urls.parse(value.value, value.origin)
    except NotAPostgresUrlError:
        return  # told with the sources
    if url is not None:
        yield from _databases(value.origin, url)


def _databases(name: str, url: URL) -> Iterator[Finding]:
    """Databases of runs that are over: a run holds a lock as long as it lives."""
    for place in (*connections.MAINTENANCE_DATABASES, url.database):
        try:
            with connections.connect(url.set(database=place), "doctor") as connection:
                made = list(lapsed.made_by_runs(connection))
                over = [database.name for database in made if lapsed.is_over(connection, database)]
        except (ServerError, psycopg.Error):
            continue
        if over:
            number = f"{len(over)} database{'' if len(over) == 1 else 's'} of runs that died: {', '.join(over)}"
            yield findings.warning(name, number, "the next run drops them at its end", f"or {_PRUNE}")
        return


def _copies(directory: Path) -> Iterator[Finding]:
    """Copies of programs whose wheel is no longer installed in that version."""
    current = {wheel.copy_name() for wheel in WHEELS if wheel.site() is not None}
    known = tuple(wheel.distribution for wheel in WHEELS)
    for path in sorted((directory / "binaries").glob("*-*")):
        if path.name.startswith(known) and path.name not in current:
            found = "a copy of programs of another version than is installed here"
            yield findings.warning(f"binaries/{path.name}", found, f"{_PRUNE}, if no other environment uses it")


def _containers(context: Context) -> Iterator[Finding]:
    """Containers of ours on this machine's engine that no run holds and nobody keeps."""
    if importlib.util.find_spec("docker") is None:
        return
    from pytest_pristine.servers import engine  # needs an extra of ours
    from pytest_pristine.servers.container import LABEL  # the same

    found = engine.find(context.environ)
    if isinstance(found, str):
        return  # told with the sources
    try:
        handles = found.client.containers.list(all=True, filters={"label": LABEL})
    except engine.ERRORS as error:
        yield findings.warning("containers", f"{found} does not list them: {error}", "docker ps")
        return
    for handle in handles:
        host, _, path = handle.labels[LABEL].partition(":")
        if host == socket.gethostname() and _nobody_holds(Path(path)):
            what = f"a container of ours that no run holds and nobody keeps ({handle.status})"
            yield findings.warning(str(handle.name), what, _PRUNE, f"or docker rm --force --volumes {handle.name}")


def _notes() -> Iterator[Finding]:
    """Directories of runs that were killed, in which their processes told of SQLite."""
    found = [str(path) for path in directories.left()]
    if found:
        told = f"of runs that were killed: {', '.join(found)}"
        yield findings.warning("temporary directories", told, "the next run with databases removes them")


def _nobody_holds(directory: Path) -> bool:
    if not directory.is_dir():
        return True
    with address.lock(directory):
        return keeper.process(directory) is None and not leases.held(directory)
