"""A server of our own that all runs of all projects share: one for each account and installation.

What it holds is a cache, made again whenever it cannot be used: databases of runs, and templates.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine import operating_system
from pytest_pristine.errors import StartError
from pytest_pristine.operating_system import Account
from pytest_pristine.servers import home, installations, keeper, leases
from pytest_pristine.servers.binaries import Binaries
from pytest_pristine.servers.cluster import MORE_SPACE, Cluster, Login, is_full
from pytest_pristine.servers.installations import Installation
from pytest_pristine.servers.sources import Found, Offer, Rejection
from pytest_pristine.settings import Settings, linger

USER = "postgres"
_log = logging.getLogger("pytest_pristine")


@dataclass(frozen=True, slots=True)
class Shared:
    """A shared server, running or not.

    Attributes:
        directory: Where it lives.
        url: Its address; None when it does not run.
        leases: How many runs hold it.
    """

    directory: Path
    url: URL | None
    leases: int


def servers(directory: Path) -> list[Shared]:
    """All shared servers there are in the home directory."""
    account = operating_system.server_account()
    found = []
    for prefix in (installations.WHEEL_PREFIX, installations.LOCAL_PREFIX):
        for path in home.servers(directory, f"{prefix}*"):
            cluster = Cluster(path, account)
            with cluster.lock():
                found.append(Shared(path, cluster.running(), leases.held(path)))
    return found


def found(source: str, settings: Settings, installation: Installation) -> Found | Rejection:
    """The shared server of an installation, running or to be started."""
    try:
        account = operating_system.server_account()
    except LookupError as error:
        return Rejection(source, f"root cannot run Postgres, and there is {error.args[0]}", "run as a user")
    what = f"PostgreSQL {installation.major} in {installation.installed.directory}"
    return Found(what, lambda: _lease(settings, installation, account))


def _lease(settings: Settings, installation: Installation, account: Account | None) -> Offer:
    """Lease the server, starting it if it does not run.

    Raises:
        ServerError: It cannot be started.
    """
    directory = home.provide(settings.home, account)
    cluster = Cluster(home.server(directory, installation.name), account)
    try:
        with cluster.lock():
            url = cluster.running()
            if url is None:
                # That they can be executed is checked when they are to be executed: a server that runs needs none.
                url = _start_kept(cluster, installation.provide(directory, account))
            lease = leases.take(cluster.directory, linger(settings))
            keeper.ensure(cluster.directory)
    except OSError as error:
        found = f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
        remedy = MORE_SPACE if is_full(cluster.directory) else "set PRISTINE_HOME to another directory"
        raise StartError(f"a Postgres server in {cluster.directory}", found, [remedy]) from None

    def release() -> None:
        # The one that was there may have been killed since; without one the server would stay for ever.
        keeper.ensure(cluster.directory)
        lease.release()

    def revive() -> bool:
        with cluster.lock():
            if cluster.running() is not None:
                return False
            _log.warning("the server in %s died, and is started again", cluster.directory)
            _start_kept(cluster, installation.provide(directory, account), url.port if url.host else None)
            return True

    return Offer(url, installation.how, release=release, revive=revive, log=cluster.log)


def _start_kept(cluster: Cluster, programs: Binaries, port: int | None = None) -> URL:
    """Start the server and, before it, its keeper: if we are killed in between, there is one who stops it."""
    cluster.stop()
    keeper.ensure(cluster.directory)
    try:
        return _start(cluster, programs, port)
    except BaseException:
        keeper.dismiss(cluster.directory)
        raise


def _start(cluster: Cluster, programs: Binaries, port: int | None) -> URL:
    """Start the server, on a new data directory if the one that is there cannot be used."""
    reason = cluster.reason_unusable(programs)
    if reason is not None:
        _discard(cluster, reason)
    made_before = cluster.data.exists()
    try:
        return _start_once(cluster, programs, port)
    except StartError as error:
        if not made_before:
            raise
        _discard(cluster, error.found)
    return _start_once(cluster, programs, port)


def _start_once(cluster: Cluster, programs: Binaries, port: int | None) -> URL:
    login = Login(USER, _password(cluster))
    try:
        cluster.initialise(programs, login)
        return cluster.start(programs, login, port)
    except BaseException:
        # It may run all the same, and not let us in; nobody would stop it.
        cluster.stop()
        raise


def _discard(cluster: Cluster, reason: str) -> None:
    _log.warning("the data directory %s cannot be used and is made anew: %s", cluster.data, reason)
    try:
        cluster.discard()
    except OSError as error:
        raise StartError(
            f"to make the data directory {cluster.data} anew, which cannot be used: {reason}",
            f"{error.strerror}: {error.filename}",
            [f"remove {cluster.directory}, or set PRISTINE_HOME to another directory"],
        ) from None


def _password(cluster: Cluster) -> str:
    """The superuser's password: made once with the data directory, kept where only we can read it."""
    path = cluster.directory / "password"
    if not (cluster.data / "PG_VERSION").exists() or not path.exists():
        operating_system.write_private(path, secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8")
