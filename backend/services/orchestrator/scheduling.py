"""Starting what can start, and closing a run when nothing can.

Every transaction that changes a run begins by locking the run's row. That one rule makes the rest simple: of two
schedulers that finish the last two dependencies of a step, the second waits for the first to commit, and each statement
after the lock sees what the first has written (READ COMMITTED). Locks are taken in the order run, steps, jobs.
"""

from uuid import UUID

from sqlalchemy import exists, select
from sqlalchemy.orm import Session, aliased

from backend.models import EventType, Run, RunStatus, Step, StepDependency, StepStatus

from .errors import RunNotFoundError
from .jobs import JobQueue
from .journal import record
from .states import ACTIVE, move_run, move_step


def lock_run(session: Session, run_id: UUID) -> Run:
    """Lock the run until the transaction ends. Rows that refer to it can still be inserted by others.

    Raises:
        RunNotFoundError: there is no such run.
    """
    run = session.scalar(select(Run).where(Run.id == run_id).with_for_update(key_share=True))
    if run is None:
        raise RunNotFoundError(run_id)
    return run


def start(session: Session, jobs: JobQueue, step: Step) -> None:
    """Make a step ready and give it its job."""
    step.job_id = jobs.defer(session, step.id)
    move_step(step, StepStatus.READY)
    record(session, step.run_id, EventType.STEP_READY, step.id)


def start_unblocked(session: Session, jobs: JobQueue, run: Run) -> None:
    """Start the pending steps of a locked run that wait for nothing any more."""
    session.flush()
    needed = aliased(Step)
    blocked = exists().where(
        StepDependency.step_id == Step.id,
        StepDependency.depends_on_id == needed.id,
        needed.status != StepStatus.SUCCEEDED,
    )
    unblocked = select(Step).where(Step.run_id == run.id, Step.status == StepStatus.PENDING, ~blocked)
    for step in session.scalars(unblocked.order_by(Step.id)):
        start(session, jobs, step)


def settle(session: Session, run: Run) -> None:
    """Close a locked run in which no step is active. A failed step stops what depends on it, and nothing else."""
    session.flush()
    statuses = set(session.scalars(select(Step.status).where(Step.run_id == run.id).distinct()))
    if statuses & ACTIVE:
        return
    if statuses == {StepStatus.SUCCEEDED}:
        move_run(run, RunStatus.SUCCEEDED)
        record(session, run.id, EventType.RUN_SUCCEEDED)
    else:
        move_run(run, RunStatus.FAILED)
        record(session, run.id, EventType.RUN_FAILED)
