"""The tests of `test_plain` with our fixtures: the same work on top of a clean, migrated database."""

import pytest
import sqlalchemy


@pytest.mark.usefixtures("clean_database", "postgres_engine")
@pytest.mark.parametrize("number", range(10))
def test_trivial(number: int) -> None:
    """A test costs nothing by itself."""
    assert sqlalchemy.literal(number).value == number
