"""What a client sees: values that outlive the session."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from backend.models import EventType, Run, RunEvent, RunStatus, Step, StepStatus

from .errors import RunNotFoundError
from .states import FINISHED


@dataclass(frozen=True)
class StepView:
    """A step as it stands."""

    name: str
    kind: str
    status: StepStatus
    after: list[str]
    attempts: int
    max_attempts: int
    result: Any
    error: str | None


@dataclass(frozen=True)
class RunView:
    """A run as it stands, with its steps in the order of submission."""

    id: UUID
    key: str
    status: RunStatus
    created_at: datetime
    finished_at: datetime | None
    steps: list[StepView]

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen by itself."""
        return self.status in FINISHED

    def step(self, name: str) -> StepView:
        """Return the step of that name."""
        return next(step for step in self.steps if step.name == name)


@dataclass(frozen=True)
class EventView:
    """A line of the journal."""

    type: EventType
    step: str | None
    detail: dict[str, Any]
    created_at: datetime


def read_run(session: Session, run_id: UUID) -> RunView:
    """Read a run and its steps.

    Raises:
        RunNotFoundError: there is no such run.
    """
    # One snapshot for the statements that follow, or the steps could be newer than the run.
    session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    run = session.get(Run, run_id, options=[selectinload(Run.steps).selectinload(Step.dependencies)])
    if run is None:
        raise RunNotFoundError(run_id)
    return RunView(
        id=run.id,
        key=run.key,
        status=run.status,
        created_at=run.created_at,
        finished_at=run.finished_at,
        steps=[_view_step(step) for step in run.steps],
    )


def read_events(session: Session, run_id: UUID) -> list[EventView]:
    """Read the journal of a run, oldest line first; it is empty for a run that does not exist."""
    events = select(RunEvent).where(RunEvent.run_id == run_id).order_by(RunEvent.id)
    return [
        EventView(event.type, event.step.name if event.step else None, event.detail, event.created_at)
        for event in session.scalars(events.options(joinedload(RunEvent.step)))
    ]


def _view_step(step: Step) -> StepView:
    return StepView(
        name=step.name,
        kind=step.kind,
        status=step.status,
        after=[needed.name for needed in step.dependencies],
        attempts=step.attempts,
        max_attempts=step.max_attempts,
        result=step.result,
        error=step.error,
    )
