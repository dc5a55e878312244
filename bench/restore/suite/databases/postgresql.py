"""pytest-postgresql on a server that runs: a template for the session, a copy of it for each test."""

import pytest
import servers
from pytest_postgresql import factories  # type: ignore[import-not-found]
from servers import Connection
from suite.databases import shared

_URL = shared.url()


def _load(dbname: str, **_: object) -> None:
    """Make the schema in the template."""
    with servers.connect(_URL.set(database=dbname)) as connection:
        shared.fill(connection)


server = factories.postgresql_noproc(
    host=_URL.query["host"], port=_URL.port, user=_URL.username, dbname="postgresql", load=[_load]
)
client = factories.postgresql("server")


@pytest.fixture
def database(client: Connection) -> Connection:
    """The test's own database."""
    client.autocommit = True
    return client
