"""A client of the application, and a pristine database for each test."""

from collections.abc import Iterator

import pytest
from bank.main import app
from fastapi.testclient import TestClient


@pytest.fixture(scope="session")
def client() -> Iterator[TestClient]:
    """One client for all tests: the connections of an asynchronous engine belong to one event loop."""
    with TestClient(app) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _pristine(clean_database: None) -> None:
    """Undo after each test what the application committed."""
