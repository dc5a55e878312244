"""pytest-pristine, as its README says."""

import pytest
from sqlalchemy import Engine


@pytest.fixture
def database(clean_database: None, postgres_engine: Engine) -> Engine:
    """The database, pristine."""
    return postgres_engine
