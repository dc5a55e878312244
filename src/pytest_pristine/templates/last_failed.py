"""Finding the database of a failed test again: on servers that run, else on the one that a run would take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine.errors import NoKeptDatabaseError, ServerError
from pytest_pristine.postgres import urls
from pytest_pristine.postgres.databases import Database
from pytest_pristine.servers import home, inventory, leases, resolver, shared, up
from pytest_pristine.settings import Settings, linger
from pytest_pristine.templates import keeping


@dataclass(frozen=True, slots=True)
class Found:
    """A database that was kept.

    Attributes:
        url: Its address.
        database: What it is.
        directory: The directory of its server, which stops when nobody holds it; None for one that stays.
    """

    url: URL
    database: Database
    directory: Path | None


@contextmanager
def found(settings: Settings, name: str | None) -> Iterator[Found]:
    """A database that was kept, on a server that stays within the context.

    Args:
        settings: The settings.
        name: Its name; None for the one that was kept last.

    Raises:
        NoKeptDatabaseError: There is none.
        ServerError: No server can be had to look at.
    """
    running = sorted(_running(settings), key=lambda each: each.database.mark.since)
    wanted = [each for each in running if name in (None, each.database.name)]
    if wanted:
        with _held(wanted[-1].directory, settings):
            yield wanted[-1]
        return
    server = resolver.resolve(settings)
    try:
        there = [each for each in _on(server.url, None) if name in (None, each.database.name)]
        if not there:
            raise _none(name, str(server), running)
        yield there[0]
    finally:
        server.release()


def _none(name: str | None, looked_at: str, others: list[Found]) -> NoKeptDatabaseError:
    names = ", ".join(each.database.name for each in others)
    return NoKeptDatabaseError(
        "the database of a failed test" if name is None else f"the database {name!r}",
        f"none on {looked_at}, nor on a server of ours that runs" + (f"; there are: {names}" if names else ""),
        ["pytest --pristine-keep-failed=3", "pristine status shows what there is"],
    )


def _running(settings: Settings) -> Iterator[Found]:
    """All that were kept, on all servers that run and that we know."""
    directory = home.locate(settings.home)
    for server in up.servers(directory):
        if server.pid is not None:
            yield from _on(server.url, None)
    for each in shared.servers(directory):
        if each.url is not None:
            yield from _on(each.url, each.directory)
    if settings.url.value is not None:
        yield from _on(urls.parse(settings.url.value, settings.url.origin), None)


def _on(url: URL, directory: Path | None) -> list[Found]:
    """Those on a server, the latest first."""
    try:
        connection = inventory.maintenance(url, "psql")
    except ServerError:
        return []  # it does not answer now
    with connection:
        return [Found(url.set(database=each.name), each, directory) for each in keeping.latest(connection)]


@contextmanager
def _held(directory: Path | None, settings: Settings) -> Iterator[None]:
    """Hold a server that would stop when the last run gives it back."""
    if directory is None:
        yield
        return
    lease = leases.take(directory, linger(settings))
    try:
        yield
    finally:
        lease.release()
