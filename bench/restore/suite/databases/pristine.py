"""pytest-pristine, as its README says."""

from collections.abc import Iterator

import pytest
import servers
from servers import Connection
from sqlalchemy.engine import URL


@pytest.fixture(scope="session")
def connection(postgres_url: URL) -> Iterator[Connection]:
    """The one connection of the application."""
    with servers.connect(postgres_url) as opened:
        yield opened


@pytest.fixture
def database(connection: Connection, clean_database: None) -> Connection:
    """The database, pristine."""
    return connection
