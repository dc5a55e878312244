"""`pristine psql`: the client on a server of ours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from sqlalchemy.engine import URL

from pytest_pristine.errors import NoServerError, ServerError, UnknownDatabaseError
from pytest_pristine.postgres import connections
from pytest_pristine.servers import clients, home, shared, up
from pytest_pristine.settings import Settings
from pytest_pristine.templates import last_failed


def run_on_kept(chosen: Settings, name: str | None, arguments: Sequence[str]) -> int:
    """Run psql on the database of a failed test; gives its exit status.

    Args:
        chosen: The settings.
        name: The database; None for the one that was kept last.
        arguments: What else psql is given.

    Raises:
        NoKeptDatabaseError: There is none.
        BinariesError: There is no psql.
    """
    with last_failed.found(chosen, name) as found:
        print(f"{found.database.name}: as {found.database.mark.test} left it", file=sys.stderr)  # noqa: T201
        return _open(found.url, arguments)


def run(chosen: Settings, database: str | None, port: int | None, arguments: Sequence[str]) -> int:
    """Run psql; gives its exit status.

    Args:
        chosen: The settings.
        database: The database; None for the one that the server was started with.
        port: Of the server that `pristine up` started; None for the newest, else the one that runs share.
        arguments: What else psql is given.

    Raises:
        NoServerError: No server of ours runs.
        UnknownDatabaseError: It has no such database.
        BinariesError: There is no psql.
    """
    url = _server(chosen, port)
    if database is not None:
        url = url.set(database=database)
        _check_there(url)
    return _open(url, arguments)


def _check_there(url: URL) -> None:
    """Check that the server has the database; what else is wrong psql tells itself.

    Raises:
        UnknownDatabaseError: It has not.
    """
    try:
        connections.connect_or_explain(url, "psql", "pristine psql").close()
    except UnknownDatabaseError as error:
        remedy = ["pristine psql with the name of one of them", "pristine status shows what each is"]
        raise UnknownDatabaseError(error.sought, error.found, remedy) from None
    except ServerError:
        return


def _open(url: URL, arguments: Sequence[str]) -> int:
    command = [clients.program("psql"), *arguments]
    return subprocess.run(command, env=clients.environment(url), check=False).returncode  # noqa: S603 - psql


def _server(chosen: Settings, port: int | None) -> URL:
    directory = home.locate(chosen.home)
    started = [server for server in up.servers(directory) if server.pid is not None and port in (None, server.port)]
    if started:
        return max(started, key=lambda server: server.directory.stat().st_mtime).url
    running = [] if port is not None else [each.url for each in shared.servers(directory) if each.url is not None]
    if not running:
        raise NoServerError(
            "a server of ours that runs" + ("" if port is None else f" on port {port}"), "none",
            ["pristine up", "pristine status shows what there is"],
        )  # fmt: skip
    return running[0]
