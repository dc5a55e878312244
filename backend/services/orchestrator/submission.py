"""Submitting a graph, any number of times with the same result."""

from collections.abc import Mapping
from uuid import UUID, uuid4

from sqlalchemy import insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from backend.models import EventType, Run, Step, StepDependency, StepKind

from .errors import KeyReusedError
from .graph import Graph
from .jobs import JobQueue
from .journal import record
from .scheduling import lock_run, start_unblocked


def submit(session: Session, jobs: JobQueue, key: str, graph: Graph) -> tuple[UUID, bool]:
    """Create the run, unless the key's live run has the same content; return its id and whether it is new.

    Raises:
        GraphError: the graph cannot run.
        KeyReusedError: the key's live run has other content.
    """
    kinds = {kind.name: kind for kind in session.scalars(select(StepKind))}
    graph.validate(kinds)
    run_id, created = _insert_or_find(session, key, graph)
    if created:
        _insert_steps(session, run_id, graph, kinds)
        record(session, run_id, EventType.RUN_SUBMITTED)
        start_unblocked(session, jobs, lock_run(session, run_id))
    return run_id, created


def _insert_or_find(session: Session, key: str, graph: Graph) -> tuple[UUID, bool]:
    """Settle in one statement whose run this is.

    `DO NOTHING` would return no row for an existing run, and a second statement could find it cancelled by then. The
    idle update locks the live run and returns it; while another submission of the key is open, it waits for its end.
    """
    mine = uuid4()
    run = postgresql.insert(Run).values(id=mine, key=key, document=graph.document())
    run_id, same = session.execute(
        run.on_conflict_do_update(
            index_elements=[Run.key],
            index_where=text("status <> 'cancelled'"),
            set_={"key": run.excluded.key},
        ).returning(Run.id, Run.document == graph.document())
    ).one()
    if not same:
        raise KeyReusedError(key, run_id)
    return run_id, run_id == mine


def _insert_steps(session: Session, run_id: UUID, graph: Graph, kinds: Mapping[str, StepKind]) -> None:
    rows = [
        {
            "run_id": run_id,
            "name": step.name,
            "kind": step.kind,
            "args": dict(step.args),
            "max_attempts": kinds[step.kind].max_attempts,
        }
        for step in graph.steps
    ]
    ids = {name: step_id for step_id, name in session.execute(insert(Step).returning(Step.id, Step.name), rows)}
    edges = [
        {"run_id": run_id, "step_id": ids[step.name], "depends_on_id": ids[dependency]}
        for step in graph.steps
        for dependency in set(step.after)
    ]
    if edges:
        session.execute(insert(StepDependency), edges)
