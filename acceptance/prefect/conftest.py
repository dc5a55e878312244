"""The project: Prefect's models on a database that Prefect's own command made; pytest.ini has it."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

pytest_plugins = ["dumps"]

# Runs what is done with a session, and commits.
Transaction = Callable[[Callable[[AsyncSession], Awaitable[None]]], None]


def pytest_configure(config: pytest.Config) -> None:
    """Give Prefect a home that ends with the run."""
    home = tempfile.TemporaryDirectory(prefix="prefect-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    os.environ["PREFECT_HOME"] = home.name


@pytest.fixture
def transaction(proven_clean: None, postgres_url: URL) -> Transaction:
    """Sessions of asyncpg, as Prefect's server has them."""
    url = postgres_url.set(drivername="postgresql+asyncpg")
    os.environ["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = url.render_as_string(hide_password=False)

    async def run(what: Callable[[AsyncSession], Awaitable[None]]) -> None:
        engine = create_async_engine(url)
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            await what(session)
        await engine.dispose()

    return lambda what: asyncio.run(run(what))
