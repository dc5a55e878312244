"""The fixtures. Each is a seam: a project overrides the one it wants to be different."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.plugin import cleaning, equipping, freshening, layering, proving, rolling_back, state

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
    from sqlalchemy.orm import Session

    from pytest_pristine.isolation.layers import Layer
    from pytest_pristine.plugin.recording import Equipment
    from pytest_pristine.templates.fresh import FreshDatabase
    from pytest_pristine.templates.provider import PostgresServer
    from pytest_pristine.templates.workspace import Workspace


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> PostgresServer:
    """The Postgres server of this run: its version, where it came from, what it can do."""
    return state.server(request.config)


@pytest.fixture(scope="session")
def apply_migrations(postgres_server: PostgresServer) -> Iterator[Workspace]:
    """Bring this worker's database to head. Override it to migrate otherwise; `postgres_baseline` loads data."""
    with postgres_server.migrated_database() as database:
        yield database


@pytest.fixture(scope="session")
def _pristine_isolation(
    request: pytest.FixtureRequest, postgres_server: PostgresServer, apply_migrations: Workspace
) -> Iterator[Equipment]:
    """What the migrations left, recorded before any test can write, and what tests do to it."""
    is_as_made = layering.is_as_made(request)
    equipment = equipping.equip(request.config, postgres_server, apply_migrations, is_as_made=is_as_made)
    freshening.begin(request.config, equipment, postgres_server, apply_migrations)
    yield equipment
    freshening.end(equipment)
    proving.finish(request.config, ended=True)
    equipment.isolation.close()


@pytest.fixture(scope="session")
def postgres_baseline(_pristine_isolation: Equipment) -> Layer:
    """What tests are restored to. Override it, with any scope down to module, to load data on top of the migrations."""
    return _pristine_isolation.layers.root


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer, apply_migrations: Workspace, _pristine_isolation: Equipment) -> URL:
    """The URL of this worker's migrated database, password included, as SQLAlchemy takes it."""
    from pytest_pristine.postgres import drivers  # heavy, and loaded by now

    url = apply_migrations.url
    return drivers.url_for(postgres_server.settings.driver.value or drivers.of(url), url)


@pytest.fixture(scope="session")
def postgres_dsn(postgres_url: URL) -> str:
    """The same as text without the name of a driver, as psycopg, psycopg2, asyncpg and libpq take it."""
    from pytest_pristine.postgres import drivers  # heavy, and loaded by now

    return drivers.plain(postgres_url).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgres_engine(
    postgres_server: PostgresServer, apply_migrations: Workspace, postgres_url: URL, _pristine_isolation: Equipment
) -> Iterator[Engine]:
    """The one SQLAlchemy engine that all tests share. It has as many connections at most as the server has for it."""
    from pytest_pristine.postgres import engines  # heavy, and most runs need none

    engine = engines.create(
        postgres_url,
        postgres_server.connections,
        apply_migrations.contested,
        hide_parameters=postgres_server.settings.parameters.value == "hide",
    )
    _pristine_isolation.isolation.on_ended_sessions(engine.dispose)
    _pristine_isolation.checkouts.attend(engine, "postgres_engine")
    _pristine_isolation.sessions.attend(engine)
    coverage = _pristine_isolation.coverage
    if coverage is not None:
        coverage.attach(engine)
    yield engine
    if coverage is not None:
        coverage.after_test()  # of what fixtures did last, before its sessions are gone
    engine.dispose()


@pytest.fixture(scope="session")
def _pristine_async_engine(
    postgres_server: PostgresServer, apply_migrations: Workspace, postgres_url: URL, _pristine_isolation: Equipment
) -> Iterator[AsyncEngine]:
    """The one asynchronous engine. It lives longer than a test: only its connections belong to a loop."""
    from pytest_pristine.postgres import drivers, engines  # heavy, and most runs need none

    engine = engines.create_async(
        postgres_url,
        drivers.asynchronous(postgres_url, postgres_server.settings.async_driver.value),
        postgres_server.connections,
        apply_migrations.contested,
        hide_parameters=postgres_server.settings.parameters.value == "hide",
    )
    with equipping.attending(_pristine_isolation, engine):
        yield engine


@pytest.fixture
def postgres_async_engine(
    _pristine_async_engine: AsyncEngine,
    postgres_baseline: Layer,  # noqa: ARG001 - the project's own is to be set up before
) -> AsyncEngine:
    """An SQLAlchemy `AsyncEngine` on the same database. Its connections belong to the loop that runs the test."""
    return _pristine_async_engine


@pytest.fixture
def clean_database(
    request: pytest.FixtureRequest,
    _pristine_isolation: Equipment,
    postgres_baseline: Layer,  # noqa: ARG001 - the project's own is to be set up before
) -> Iterator[None]:
    """The database is pristine when the test starts, and pristine again after it."""
    with cleaning.undone(_pristine_isolation, request.node, commits=True):
        yield


@pytest.fixture
def postgres_session(
    request: pytest.FixtureRequest,
    _pristine_isolation: Equipment,
    postgres_engine: Engine,
    postgres_baseline: Layer,  # noqa: ARG001 - the project's own is to be set up before
) -> Iterator[Session]:
    """A session of SQLAlchemy's ORM. The test may commit, roll back and nest: all of it is rolled back in the end."""
    with rolling_back.session(_pristine_isolation, request.node, postgres_engine) as session:
        yield session


@pytest.fixture
def postgres_async_session(
    request: pytest.FixtureRequest, _pristine_isolation: Equipment, postgres_async_engine: AsyncEngine
) -> Iterator[AsyncSession]:
    """The same as an `AsyncSession`, in the loop that uses it."""
    with rolling_back.async_session(_pristine_isolation, request.node, postgres_async_engine) as session:
        yield session


@pytest.fixture
def fresh_database(
    request: pytest.FixtureRequest,
    postgres_server: PostgresServer,
    apply_migrations: Workspace,
    _pristine_isolation: Equipment,
    postgres_baseline: Layer,  # noqa: ARG001 - the project's own is to be set up before
) -> Iterator[FreshDatabase]:
    """A database of this test alone, as the migrations left it: for DDL, and whatever else cannot be shared."""
    with freshening.given(_pristine_isolation, postgres_server, apply_migrations, request.node) as database:
        yield database
