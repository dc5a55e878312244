"""Cancelling a run, and giving a failed one another try."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from backend.models import EventType, RunStatus, Step, StepStatus

from .jobs import JobQueue
from .journal import record
from .scheduling import lock_run, start
from .states import UNFINISHED, move_run, move_step


def cancel(session: Session, jobs: JobQueue, run_id: UUID) -> None:
    """Cancel the run, its unfinished steps and their jobs. A step in progress is asked to stop and cannot report.

    Raises:
        RunNotFoundError: there is no such run.
        IllegalTransitionError: the run is finished.
    """
    run = lock_run(session, run_id)
    move_run(run, RunStatus.CANCELLED)
    for step in session.scalars(select(Step).where(Step.run_id == run_id, Step.status.in_(UNFINISHED))):
        move_step(step, StepStatus.CANCELLED)
        jobs.cancel(session, step.job_id)
    record(session, run_id, EventType.RUN_CANCELLED)


def retry(session: Session, jobs: JobQueue, run_id: UUID) -> None:
    """Start the failed steps of a failed run anew; what succeeded stays.

    Raises:
        RunNotFoundError: there is no such run.
        IllegalTransitionError: the run has not failed.
    """
    run = lock_run(session, run_id)
    move_run(run, RunStatus.PENDING)
    record(session, run_id, EventType.RUN_RETRIED)
    for step in session.scalars(select(Step).where(Step.run_id == run_id, Step.status == StepStatus.FAILED)):
        # Finished, unless recovery has put it back because the worker that failed was thought dead.
        jobs.cancel(session, step.job_id)
        step.attempts = 0
        step.error = None
        start(session, jobs, step)
