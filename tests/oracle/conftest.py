"""The worlds that the oracle is asked in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import Server, new_role
from tests.oracle.places import World, preparing_server

WAYS = ("wal", "probes", "owner")


@pytest.fixture(scope="session")
def _server() -> Iterator[Server]:
    with preparing_server() as server:
        yield server


@pytest.fixture(scope="session")
def _owner(_server: Server) -> Iterator[World]:
    with new_role(_server, "CREATEDB") as role:
        yield World(_server, role)


@pytest.fixture(scope="session", params=WAYS)
def world(request: pytest.FixtureRequest, _server: Server) -> Iterator[World]:
    """Every server there is, for each way to find out what changed and to put it back."""
    if request.param == "owner":
        yield request.getfixturevalue("_owner")
    else:
        yield World(_server, _server.url, probing=request.param == "probes")
