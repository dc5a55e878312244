"""The commands."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from sqlalchemy.engine import URL

from pytest_pristine import settings
from pytest_pristine.postgres import connections, databases, urls
from pytest_pristine.servers import home, shared, up
from pytest_pristine.settings import Settings


def run(arguments: argparse.Namespace) -> int:
    """Run the command that the arguments name; gives the exit status."""
    chosen = settings.resolve(os.environ)
    for line in {"up": _up, "down": _down, "status": _status}[arguments.command](arguments, chosen):
        print(line)  # noqa: T201 - it is what a command is for
    return 0


def _up(arguments: argparse.Namespace, chosen: Settings) -> Iterator[str]:
    database = arguments.db or arguments.user
    server, started = up.start(chosen, arguments.port, arguments.user, arguments.password, database)
    yield f"{'started' if started else 'running already'}: {urls.show(server.url)} (pid {server.pid})"
    if arguments.password is None and started:
        yield "the password is random; pytest finds this server by itself. Choose one with --password"


def _down(arguments: argparse.Namespace, chosen: Settings) -> Iterator[str]:
    found = [server for server in up.servers(home.locate(chosen.home)) if arguments.port in (None, server.port)]
    for server in found:
        up.stop(server)
        yield f"stopped: {urls.show(server.url)}"
    if not found:
        yield "nothing to stop"


def _status(_: argparse.Namespace, chosen: Settings) -> Iterator[str]:
    directory = home.locate(chosen.home)
    yield f"home: {directory}"
    found = shared.servers(directory)
    for server in found:
        state = f"running, {server.leases} leases" if server.url is not None else "stopped"
        yield f"{server.directory.name}: {state}"
        yield from _databases(server.url)
    started = up.servers(directory)
    for running in started:
        state = "running" if running.pid is not None else "died"
        yield f"{running.directory.name}: {state}, {urls.show(running.url)}"
        yield from _databases(running.url if running.pid is not None else None)
    if not found and not started:
        yield "no servers"


def _databases(url: URL | None) -> Iterator[str]:
    """Our databases on a server, a line each."""
    if url is None:
        return
    with connections.connect(url.set(database="postgres"), "status") as connection:
        for database in databases.ours(connection):
            yield f"  {database.name}: {database.mark.kind} of {database.mark.project}, {database.sessions} sessions"
