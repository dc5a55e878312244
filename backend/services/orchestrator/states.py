"""The two state machines. The triggers of revision 0008 hold the same moves, and a test compares them."""

from collections.abc import Mapping

from sqlalchemy import func

from backend.models import Run, RunStatus, Step, StepStatus

from .errors import IllegalTransitionError

RUN_MOVES: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED}),
    RunStatus.RUNNING: frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.SUCCEEDED: frozenset(),
    RunStatus.FAILED: frozenset({RunStatus.PENDING}),
    RunStatus.CANCELLED: frozenset(),
}

STEP_MOVES: Mapping[StepStatus, frozenset[StepStatus]] = {
    StepStatus.PENDING: frozenset({StepStatus.READY, StepStatus.CANCELLED}),
    StepStatus.READY: frozenset({StepStatus.RUNNING, StepStatus.CANCELLED}),
    StepStatus.RUNNING: frozenset({StepStatus.READY, StepStatus.SUCCEEDED, StepStatus.FAILED, StepStatus.CANCELLED}),
    StepStatus.SUCCEEDED: frozenset(),
    StepStatus.FAILED: frozenset({StepStatus.READY}),
    StepStatus.CANCELLED: frozenset(),
}

FINISHED = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED})
ACTIVE = frozenset({StepStatus.READY, StepStatus.RUNNING})
UNFINISHED = ACTIVE | {StepStatus.PENDING}


def move_run(run: Run, to: RunStatus) -> None:
    """Move a run that the caller has locked.

    Raises:
        IllegalTransitionError: the run is in a state that does not lead there.
    """
    if to not in RUN_MOVES[run.status]:
        raise IllegalTransitionError(f"run {run.id}", run.status, to)
    run.status = to
    run.finished_at = func.clock_timestamp() if to in FINISHED else None


def move_step(step: Step, to: StepStatus) -> None:
    """Move a step of a run that the caller has locked.

    Raises:
        IllegalTransitionError: the step is in a state that does not lead there.
    """
    if to not in STEP_MOVES[step.status]:
        raise IllegalTransitionError(f"step {step.id}", step.status, to)
    step.status = to
