"""Each test starts with no account, whatever the others have committed."""

import pytest
from fastapi.testclient import TestClient


@pytest.mark.parametrize("owner", ["ada", "grace"])
def test_the_first_account_has_number_one(client: TestClient, owner: str) -> None:
    """Numbers begin anew in each test, and so do names."""
    assert client.post("/accounts", json={"owner": owner}).json() == {"id": 1}
    assert client.get("/accounts").json() == {owner: 0}


def test_money_moves(client: TestClient) -> None:
    """A transfer is on both accounts, for every later request."""
    client.post("/accounts", json={"owner": "ada", "balance": 10})
    client.post("/accounts", json={"owner": "grace"})
    assert client.post("/transfers", json={"payer": "ada", "payee": "grace", "amount": 7}).status_code == 204
    assert client.get("/accounts").json() == {"ada": 3, "grace": 7}


def test_nobody_pays_what_he_has_not(client: TestClient) -> None:
    """A transfer that the database refuses leaves both accounts alone."""
    client.post("/accounts", json={"owner": "ada", "balance": 1})
    client.post("/accounts", json={"owner": "grace"})
    refused = client.post("/transfers", json={"payer": "ada", "payee": "grace", "amount": 7})
    assert refused.status_code == 409
    assert client.get("/accounts").json() == {"ada": 1, "grace": 0}
