"""What this project does otherwise than the plugin's fixtures do by themselves."""

from collections.abc import Iterator

import pytest
from sqlalchemy import create_engine, text

from pytest_pristine import Workspace

PRICES: dict[str, int] = {}
"""A cache of the application, outside the database."""


@pytest.fixture(scope="session")
def apply_migrations(apply_migrations: Workspace) -> Workspace:
    """Load the countries once: what is there when this fixture is done is what every test starts from."""
    engine = create_engine(apply_migrations.url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO countries VALUES ('de'), ('fr')"))
    engine.dispose()
    return apply_migrations


@pytest.fixture(autouse=True)
def clean_database(clean_database: None) -> Iterator[None]:
    """Clean the cache along with the database, for every test."""
    yield
    PRICES.clear()
