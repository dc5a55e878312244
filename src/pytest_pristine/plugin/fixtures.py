"""The fixtures. Each is a seam: a project overrides the one it wants to be different."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.plugin import cleaning, covering, state

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import URL

    from pytest_pristine.isolation.isolation import Isolation
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
) -> Iterator[Isolation]:
    """What the migrations left, recorded before any test can write."""
    from pytest_pristine.isolation.catalogue import Coverage  # heavy, and most runs need none
    from pytest_pristine.isolation.isolation import Isolation  # the same

    settings = postgres_server.settings
    isolation = Isolation(
        apply_migrations.url,
        Coverage(settings.include.value, settings.exclude.value),
        capabilities=postgres_server.capabilities,
        timeout=settings.restore_timeout.value,
        rebuild=apply_migrations.rebuild,
        hold=apply_migrations.hold,
        uncounted=covering.is_wanted(settings),
    )
    covering.begin(request.config, postgres_server, apply_migrations, isolation)
    yield isolation
    covering.finish(request.config)
    isolation.close()


@pytest.fixture(scope="session")
def postgres_url(apply_migrations: Workspace, _pristine_isolation: Isolation) -> URL:
    """The URL of this worker's migrated database, password included."""
    return apply_migrations.url


@pytest.fixture(scope="session")
def postgres_engine(
    request: pytest.FixtureRequest,
    postgres_server: PostgresServer,
    apply_migrations: Workspace,
    postgres_url: URL,
    _pristine_isolation: Isolation,
) -> Iterator[Engine]:
    """The one SQLAlchemy engine that all tests share. It has as many connections at most as the server has for it."""
    from pytest_pristine.postgres import engines  # heavy, and most runs need none

    engine = engines.create(postgres_url, postgres_server.connections, apply_migrations.contested)
    _pristine_isolation.on_ended_sessions(engine.dispose)
    covering.attach(request.config, engine)
    yield engine
    covering.pause(request.config)
    engine.dispose()


@pytest.fixture
def clean_database(request: pytest.FixtureRequest, _pristine_isolation: Isolation) -> Iterator[None]:
    """The database is pristine when the test starts, and pristine again after it."""
    with covering.around_restore(request.config) as found:
        found.append(cleaning.before(_pristine_isolation, request.node))
    yield
    covering.after_test(request.node)
    with covering.around_restore(request.config, request.node) as found:
        found.append(cleaning.after(_pristine_isolation, request.node))
