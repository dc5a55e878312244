"""The project: Dagster's storages on a database that Dagster's own command made; pytest.ini has it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster_postgres import PostgresRunStorage
from sqlalchemy.engine import URL

pytest_plugins = ["dumps"]

# Where Dagster finds dagster.yaml; it wants the whole path.
os.environ["DAGSTER_HOME"] = str(Path(__file__).parent)


@pytest.fixture
def url(proven_clean: None, postgres_url: URL) -> str:
    """The URL as Dagster takes it."""
    return postgres_url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def runs(url: str) -> Iterator[PostgresRunStorage]:
    """Dagster's storage of runs; it holds no connection open."""
    storage = PostgresRunStorage(url)
    yield storage
    storage.dispose()
