"""What the tests of servers share."""

from __future__ import annotations

import socket
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy.engine import URL

from pytest_pristine import settings
from pytest_pristine.servers import resolver
from pytest_pristine.servers.server import Server as Resolved
from tests.conftest import CALLED, WANTED, Home

Resolve = Callable[..., Resolved]
Use = Callable[..., None]


@pytest.fixture
def free_port() -> int:
    """A TCP port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def resolve(home: Home) -> Resolve:
    """A function that looks for a server as a run does: with an environment, and options and ini keys by name."""

    def find(option: dict[str, str] | None = None, ini: dict[str, str] | None = None, **environ: str) -> Resolved:
        everything = {"PRISTINE_HOME": str(home.path), **environ}
        return resolver.resolve(settings.resolve(everything, (option or {}).get, (ini or {}).get))

    return find


@pytest.fixture
def use() -> Use:
    """A function that finds the embedded server of a home, as a run does, connects to it, and gives it back."""

    def use(home: Home, **environ: str) -> None:
        found = resolver.resolve(settings.resolve({"PRISTINE_HOME": str(home.path), **WANTED, **environ}))
        assert str(found) == CALLED or "PRISTINE_POSTGRES_VERSION" in environ
        with psycopg.connect(
            **found.url.translate_connect_args(username="user", database="dbname"), **found.url.query
        ) as client:
            assert client.execute("SELECT 1").fetchone() == (1,)
        found.release()

    return use


def text(url: URL) -> str:
    """The URL as a user types it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
