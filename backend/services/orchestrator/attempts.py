"""One attempt at a step: claimed, then succeeded or failed.

Procrastinate delivers a job at least once: a worker that is only slow looks like a dead one, and its job is given to
another. So a claim is fenced by its job and the number of its attempt, and only the newest claim can report.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.models import EventType, Run, RunStatus, Step, StepKind, StepStatus

from .jobs import JobQueue
from .journal import record
from .scheduling import settle, start_unblocked
from .states import ACTIVE, move_run, move_step


@dataclass(frozen=True)
class Claim:
    """The right to report on one attempt; `inputs` are the results of the step's dependencies by name."""

    step_id: int
    job_id: int | None
    attempt: int
    kind: str
    args: dict[str, Any]
    inputs: dict[str, Any]
    retry_wait_s: int


class Outcome(Enum):
    """What became of a report."""

    SUCCEEDED = auto()
    RETRYING = auto()
    FAILED = auto()
    DISCARDED = auto()
    """The run was cancelled, or the step belongs to a later attempt."""


def claim(session: Session, step_id: int, job_id: int | None) -> Claim | None:
    """Begin an attempt, or return None when the job has nothing to do any more.

    A step that is already running was left by a worker that died, for its job has come back. It is begun again, unless
    it has taken as many workers down as it has attempts.
    """
    locked = _lock(session, step_id, job_id)
    if locked is None:
        return None
    run, step = locked
    if step.attempts == step.max_attempts:
        _give_up(session, run, step, "the worker died in the last attempt")
        return None
    if run.status is RunStatus.PENDING:
        move_run(run, RunStatus.RUNNING)
        record(session, run.id, EventType.RUN_STARTED)
    if step.status is StepStatus.READY:
        move_step(step, StepStatus.RUNNING)
    step.attempts += 1
    record(session, run.id, EventType.STEP_STARTED, step.id, attempt=step.attempts)
    return _make_claim(session, step)


def succeed(session: Session, jobs: JobQueue, claim: Claim, result: object) -> Outcome:
    """Record the result and start what waited for it."""
    locked = _lock_current(session, claim)
    if locked is None:
        return Outcome.DISCARDED
    run, step = locked
    step.result = result
    move_step(step, StepStatus.SUCCEEDED)
    record(session, run.id, EventType.STEP_SUCCEEDED, step.id, attempt=claim.attempt)
    start_unblocked(session, jobs, run)
    settle(session, run)
    return Outcome.SUCCEEDED


def fail(session: Session, claim: Claim, error: str) -> Outcome:
    """Record the error and decide, in the same transaction, whether there is another attempt."""
    locked = _lock_current(session, claim)
    if locked is None:
        return Outcome.DISCARDED
    run, step = locked
    if step.attempts == step.max_attempts:
        _give_up(session, run, step, error)
        return Outcome.FAILED
    move_step(step, StepStatus.READY)
    record(session, run.id, EventType.STEP_RETRYING, step.id, attempt=claim.attempt, error=error)
    return Outcome.RETRYING


def _lock(session: Session, step_id: int, job_id: int | None) -> tuple[Run, Step] | None:
    """Lock the run and only then read the step; return None when this job is not, or no longer, the step's."""
    of_step = select(Run).join(Step, Step.run_id == Run.id).where(Step.id == step_id)
    run = session.scalar(of_step.with_for_update(of=Run, key_share=True))
    if run is None:
        return None
    step = session.get_one(Step, step_id)
    return (run, step) if step.job_id == job_id and step.status in ACTIVE else None


def _lock_current(session: Session, claim: Claim) -> tuple[Run, Step] | None:
    """Lock the run if the claim is the newest one of a step that still runs."""
    match _lock(session, claim.step_id, claim.job_id):
        case run, step if (step.status, step.attempts) == (StepStatus.RUNNING, claim.attempt):
            return run, step
    return None


def _give_up(session: Session, run: Run, step: Step, error: str) -> None:
    step.error = error
    move_step(step, StepStatus.FAILED)
    record(session, run.id, EventType.STEP_FAILED, step.id, attempt=step.attempts, error=error)
    settle(session, run)


def _make_claim(session: Session, step: Step) -> Claim:
    return Claim(
        step_id=step.id,
        job_id=step.job_id,
        attempt=step.attempts,
        kind=step.kind,
        args=step.args,
        inputs={needed.name: needed.result for needed in step.dependencies},
        retry_wait_s=session.get_one(StepKind, step.kind).retry_wait_s,
    )
