"""pytest-clean-database, as its README says."""

from collections.abc import Iterator

import pytest
from servers import Connection
from suite.databases import shared


@pytest.fixture(scope="session")
def database() -> Iterator[Connection]:
    """The database; what the plugin does after each test it does unasked."""
    with shared.create("clean_db") as connection:
        yield connection


@pytest.fixture(scope="session")
def clean_db_urls(database: Connection) -> list[str]:
    """Where it is."""
    url = shared.url().set(drivername="postgresql", database=database.info.dbname)
    return [url.render_as_string(hide_password=False)]
