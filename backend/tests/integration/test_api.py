"""The HTTP interface says what the service says."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import URL, Engine

from backend.api import create_app

from .conftest import Work
from .helpers import count, query

GRAPH = {
    "steps": [
        {"name": "one", "kind": "sum", "args": {"numbers": [1]}},
        {"name": "two", "kind": "sum", "args": {"numbers": [1]}, "after": ["one"]},
    ]
}


def submit(client: httpx.Client, body: dict[str, Any], key: str = "key") -> httpx.Response:
    """Submit a graph."""
    return client.post("/runs", json=body, headers={"Idempotency-Key": key})


def test_run_is_submitted_executed_and_read_back(client: httpx.Client, work: Work) -> None:
    """A submitted run is at its Location and, after a worker was there, shows its results and its journal."""
    response = submit(client, GRAPH)
    assert response.status_code == 201
    location = response.headers["Location"]
    assert client.get(location).json() == response.json()
    work()
    run = client.get(location, params={"wait_s": 10}).json()
    assert (run["status"], [step["result"] for step in run["steps"]]) == ("succeeded", [1, 2])
    journal = client.get(f"{location}/events").json()
    assert (journal[0]["type"], journal[-1]["type"]) == ("run_submitted", "run_succeeded")


def test_submitting_again_is_ok_and_not_created(client: httpx.Client) -> None:
    """The same key and content answer 200 with the same run."""
    first, second = submit(client, GRAPH), submit(client, GRAPH)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert first.headers["Location"] == second.headers["Location"]


@pytest.mark.parametrize(
    ("steps", "error"),
    [
        ([], "EmptyGraphError"),
        ([{"name": "a", "kind": "teleport"}], "UnknownKindError"),
        ([{"name": "a", "kind": "echo", "after": ["a"]}], "CycleError"),
        ([{"name": "a", "kind": "echo", "args": {"text": "\0"}}], "UnstorableError"),
    ],
)
def test_graph_that_cannot_run_is_unprocessable(
    client: httpx.Client, postgres_engine: Engine, steps: list[dict[str, Any]], error: str
) -> None:
    """A refused graph answers 422 with the name of the error, and nothing is written."""
    response = submit(client, {"steps": steps})
    assert (response.status_code, response.json()["error"]) == (422, error)
    assert count(postgres_engine, "runs") == 0


def test_reused_key_is_unprocessable(client: httpx.Client) -> None:
    """The same key with other content answers 422."""
    submit(client, GRAPH)
    response = submit(client, {"steps": GRAPH["steps"][:1]})
    assert (response.status_code, response.json()["error"]) == (422, "KeyReusedError")


def test_key_is_required(client: httpx.Client) -> None:
    """A submission without a key answers 422, for it could not be repeated safely."""
    assert client.post("/runs", json=GRAPH).status_code == 422


def test_cancel_and_retry_conflict_with_the_wrong_state(client: httpx.Client, work: Work) -> None:
    """Cancelling and retrying work once, and answer 409 in a state that does not allow them."""
    running, failing = submit(client, GRAPH), submit(client, {"steps": [{"name": "a", "kind": "fail"}]}, "other")
    assert client.post(f"{running.headers['Location']}/retry").status_code == 409
    assert client.post(f"{running.headers['Location']}/cancel").json()["status"] == "cancelled"
    response = client.post(f"{running.headers['Location']}/cancel")
    assert (response.status_code, response.json()["error"]) == (409, "IllegalTransitionError")
    work()
    assert client.post(f"{failing.headers['Location']}/retry").json()["status"] == "pending"


@pytest.mark.parametrize(("method", "suffix"), [("GET", ""), ("GET", "/events"), ("POST", "/cancel")])
def test_unknown_run_is_not_found(client: httpx.Client, method: str, suffix: str) -> None:
    """A run that does not exist answers 404."""
    response = client.request(method, f"/runs/{uuid4()}{suffix}")
    assert (response.status_code, response.json()["error"]) == (404, "RunNotFoundError")


def test_waiting_ends_with_the_run_as_it_is(client: httpx.Client) -> None:
    """A client whose patience ends gets the run in its present state, which is no error."""
    location = submit(client, GRAPH).headers["Location"]
    response = client.get(location, params={"wait_s": 0.01})
    assert (response.status_code, response.json()["status"]) == (200, "pending")


def test_application_finds_its_database_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, postgres_url: URL, postgres_engine: Engine
) -> None:
    """Without an engine the application makes its own for DATABASE_URL, and closes it at the end."""
    monkeypatch.setenv("DATABASE_URL", postgres_url.render_as_string(hide_password=False))

    async def submit_from_within() -> None:
        app = create_app()
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")
        async with app.router.lifespan_context(app), client:
            await client.post("/runs", json=GRAPH, headers={"Idempotency-Key": "key"})

    asyncio.run(submit_from_within())
    assert query(postgres_engine, "SELECT key FROM runs") == [("key",)]
