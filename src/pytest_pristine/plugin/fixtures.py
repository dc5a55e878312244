"""The fixtures. Each is a seam: a project overrides the one it wants to be different."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.plugin import cleaning, equipping, layering, proving, state

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import URL

    from pytest_pristine.isolation.layers import Layer
    from pytest_pristine.plugin.recording import Equipment
    from pytest_pristine.templates.provider import PostgresServer
    from pytest_pristine.templates.workspace import Workspace


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> PostgresServer:
    """The Postgres server of this run: its version, where it came from, what it can do."""
    return state.server(request.config)


@pytest.fixture(scope="session")
def apply_migrations(postgres_server: PostgresServer) -> Iterator[Workspace]:
    """Bring this worker's database to head. Override it to migrate otherwise, or to load data on top."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture(scope="session")
def _pristine_isolation(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, apply_migrations: Workspace
) -> Iterator[Equipment]:
    """What the migrations left, recorded before any test can write, and what tests do to it."""
    is_as_made = layering.is_as_made(request)
    equipment = equipping.equip(request.config, postgres_server, apply_migrations, is_as_made=is_as_made)
    yield equipment
    proving.finish(request.config, ended=True)
    equipment.isolation.close()


@pytest.fixture(scope="session")
def postgres_baseline(_pristine_isolation: Equipment) -> Layer:
    """What tests are restored to. Override it, with any scope down to module, to load data on top of the migrations."""
    return _pristine_isolation.layers.root


@pytest.fixture(scope="session")
def postgres_url(apply_migrations: Workspace, _pristine_isolation: Equipment) -> URL:
    """The URL of this worker's migrated database, password included."""
    return apply_migrations.url


@pytest.fixture(scope="session")
def postgres_engine(
    postgres_server: PostgresServer, apply_migrations: Workspace, postgres_url: URL, _pristine_isolation: Equipment
) -> Iterator[Engine]:
    """The one SQLAlchemy engine that all tests share. It has as many connections at most as the server has for it."""
    from pytest_pristine.postgres import engines  # heavy, and most runs need none
    from pytest_pristine.verify.checkouts import Checkouts  # the same

    engine = engines.create(
        postgres_url,
        postgres_server.connections,
        apply_migrations.contested,
        hide_parameters=postgres_server.settings.parameters.value == "hide",
    )
    _pristine_isolation.isolation.on_ended_sessions(engine.dispose)
    _pristine_isolation.checkouts = Checkouts(engine)
    coverage = _pristine_isolation.coverage
    if coverage is not None:
        coverage.attach(engine)
    yield engine
    if coverage is not None:
        coverage.after_test()  # of what fixtures did last, before its sessions are gone
    engine.dispose()


@pytest.fixture
def clean_database(
    request: pytest.FixtureRequest,
    _pristine_isolation: Equipment,
    postgres_baseline: Layer,  # noqa: ARG001 - the project's own is to be set up before
) -> Iterator[None]:
    """The database is pristine when the test starts, and pristine again after it."""
    cleaning.before(_pristine_isolation, request.node)
    yield
    cleaning.after(_pristine_isolation, request.node)
