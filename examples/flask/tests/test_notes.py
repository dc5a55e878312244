"""Each test starts without notes, whatever the others have committed."""

import pytest
from flask.testing import FlaskClient


@pytest.mark.parametrize("attempt", ["first", "second"])
def test_the_first_note_has_number_one(client: FlaskClient, attempt: str) -> None:
    """Numbers begin anew in each test."""
    assert client.post("/notes", json={"title": attempt}).json == {"id": 1}
    assert client.get("/notes").json == [attempt]


def test_titles_are_unique(client: FlaskClient) -> None:
    """A second note of the same title is refused, by the database, and the first stays."""
    assert client.post("/notes", json={"title": "milk"}).status_code == 201
    assert client.post("/notes", json={"title": "milk"}).status_code == 409
    assert client.get("/notes").json == ["milk"]
