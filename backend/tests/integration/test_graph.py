"""Graphs that cannot run are refused before anything is written."""

import pytest
from sqlalchemy import Engine

from backend.services.orchestrator import (
    CycleError,
    DuplicateStepError,
    EmptyGraphError,
    Graph,
    GraphError,
    Orchestrator,
    UnknownDependencyError,
    UnknownKindError,
)

from .helpers import DIAMOND, count, graph, query, step

REFUSED: dict[str, tuple[Graph, type[GraphError], dict[str, object]]] = {
    "empty": (graph(), EmptyGraphError, {}),
    "duplicate": (graph(step("a"), step("a", kind="sum")), DuplicateStepError, {"step": "a"}),
    "unknown kind": (
        graph(step("a", kind="teleport")),
        UnknownKindError,
        {"step": "a", "kind": "teleport", "known": ("echo", "fail", "sleep", "sum")},
    ),
    "unknown dependency": (
        graph(step("a", "ghost")),
        UnknownDependencyError,
        {"step": "a", "dependency": "ghost"},
    ),
    "itself": (graph(step("a", "a")), CycleError, {"path": ("a", "a")}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_graph_leaves_no_trace(orchestrator: Orchestrator, postgres_engine: Engine, case: str) -> None:
    """A graph that cannot run raises an error that carries the reason, and no table has a new row."""
    refused, error_type, data = REFUSED[case]
    with pytest.raises(error_type) as caught:
        orchestrator.submit("key", refused)
    assert vars(caught.value) == data
    for table in ("runs", "steps", "step_dependencies", "run_events", "procrastinate_jobs"):
        assert count(postgres_engine, table) == 0


def test_cycle_is_shown_as_a_path(orchestrator: Orchestrator) -> None:
    """A cycle is reported with the steps on it, and without those that only lead to it."""
    cycle = graph(step("start"), step("a", "start", "c"), step("b", "a"), step("c", "b"))
    with pytest.raises(CycleError) as caught:
        orchestrator.submit("key", cycle)
    path = caught.value.path
    assert path[0] == path[-1]
    assert sorted(path[1:]) == ["a", "b", "c"]


def test_kinds_are_what_the_registry_table_says(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """A kind that is added to the table can be submitted, with the limit that stands there."""
    query(postgres_engine, "INSERT INTO step_kinds VALUES ('teleport', 7, 0, 'Moves things')")
    run, _ = orchestrator.submit("key", graph(step("a", kind="teleport")))
    assert run.step("a").max_attempts == 7


def test_accepted_graph_is_stored_as_submitted(orchestrator: Orchestrator) -> None:
    """The steps come back in the order of submission with their dependencies, and only the roots are ready."""
    run, created = orchestrator.submit("key", DIAMOND)
    assert created
    assert [(step.name, step.after, step.status) for step in run.steps] == [
        ("top", [], "ready"),
        ("left", ["top"], "pending"),
        ("right", ["top"], "pending"),
        ("bottom", ["left", "right"], "pending"),
    ]
    assert (run.key, run.status, run.finished_at) == ("key", "pending", None)
