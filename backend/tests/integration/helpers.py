"""Small things that several test modules need."""

from time import monotonic
from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from backend.services.orchestrator import Claim, Graph, Orchestrator, StepSpec

TIMEOUT_S = 20
"""How long anything here may take before the test fails. Nothing waits this long when all is well."""


def step(name: str, *after: str, kind: str = "echo", **args: object) -> StepSpec:
    """Return a step called `name` that waits for `after`."""
    return StepSpec(name, kind, args, after)


def graph(*steps: StepSpec) -> Graph:
    """Return a graph of the steps."""
    return Graph(steps)


DIAMOND = graph(step("top"), step("left", "top"), step("right", "top"), step("bottom", "left", "right"))


def query(engine: Engine, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
    """Run one statement of SQL in a transaction of its own and return its rows, if it has any."""
    with engine.begin() as connection:
        result = connection.execute(text(statement), parameters)
        return [tuple(row) for row in result] if result.returns_rows else []


def count(engine: Engine, table: str) -> int:
    """Return the number of rows of a table."""
    return int(query(engine, f"SELECT count(*) FROM {table}")[0][0])


def take(engine: Engine, orchestrator: Orchestrator, run_id: UUID, name: str) -> Claim:
    """Claim a step as the worker that has its job would."""
    ((step_id, job_id),) = query(
        engine, "SELECT id, job_id FROM steps WHERE run_id = :run_id AND name = :name", run_id=run_id, name=name
    )
    claim = orchestrator.claim(step_id, job_id)
    assert claim is not None
    return claim


def wait_until_blocked(engine: Engine, sessions: int) -> None:
    """Return when that many sessions wait for a lock. Each look is a round trip, so the loop needs no sleep."""
    deadline = monotonic() + TIMEOUT_S
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    # Within one transaction pg_stat_activity would show the same picture again and again.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while connection.scalar(waiting) != sessions:
            assert monotonic() < deadline, f"there were never {sessions} sessions waiting for a lock"
