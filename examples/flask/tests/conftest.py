"""A client of the application, and a pristine database for each test."""

import pytest
from flask.testing import FlaskClient
from notes import create_app

app = create_app()


@pytest.fixture
def client(clean_database: None) -> FlaskClient:
    """A client. What the application commits is undone after the test."""
    return app.test_client()
