"""No isolation: a database that fills."""

from collections.abc import Iterator

import pytest
from servers import Connection
from suite.databases import shared


@pytest.fixture(scope="session")
def database() -> Iterator[Connection]:
    """The database."""
    with shared.create("nothing") as connection:
        yield connection
