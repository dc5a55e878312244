"""The Procrastinate tasks, which is what a worker runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from procrastinate import App, BaseRetryStrategy, JobContext, PsycopgConnector, RetryDecision
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job

from .attempts import Claim, Outcome
from .errors import StepFailedError, StepWillRetryError
from .jobs import QUEUE, RUN_STEP
from .service import Orchestrator

RECOVER = "orchestrator.recover_stalled"
RECOVERY_QUEUE = "recovery"

STALLED_AFTER_S = 30.0
"""How long a worker may be silent before its jobs are given to others; three of Procrastinate's heartbeats."""

TROUBLE_WAIT_S = 5
"""When to try again after an error that is not the step's, such as a lost connection."""


@dataclass(frozen=True)
class StepCall:
    """What a handler is given. A long one asks `should_stop` now and then, and raises when it is true."""

    args: Mapping[str, Any]
    inputs: Mapping[str, Any]
    should_stop: Callable[[], bool]


Handler = Callable[[StepCall], object]


class StepRetry(BaseRetryStrategy):
    """Bring a job back as its step's record says.

    The limit is decided where the attempts are counted, in the transaction that records the failure. Counting a second
    time in the job could disagree with it, and leave a step that is ready without a job to run it.
    """

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:  # noqa: ARG002 - the base's
        """Retry all but what is final."""
        if isinstance(exception, (StepFailedError, JobAborted)):
            return None
        wait_s = exception.wait_s if isinstance(exception, StepWillRetryError) else TROUBLE_WAIT_S
        return RetryDecision(retry_in={"seconds": wait_s})


def worker_app(conninfo: str, orchestrator: Orchestrator, handlers: Mapping[str, Handler]) -> App:
    """Make the Procrastinate application of one worker process; the caller opens it and runs workers on it."""
    app = App(connector=PsycopgConnector(conninfo=conninfo))

    @app.task(name=RUN_STEP, queue=QUEUE, retry=StepRetry(), pass_context=True)
    def run_step(context: JobContext, *, step_id: int) -> None:
        claim = orchestrator.claim(step_id, context.job.id)
        if claim is not None:
            attempt_step(orchestrator, handlers, claim, context.should_abort)

    # No lock besides the queueing lock: a worker that died in recovery would hold it for ever.
    @app.task(name=RECOVER, queue=RECOVERY_QUEUE, queueing_lock=RECOVER)
    async def recover(
        timestamp: int = 0,  # noqa: ARG001 - Procrastinate tells periodic tasks when they were due
        *,
        stalled_after_s: float = STALLED_AFTER_S,
    ) -> None:
        await recover_stalled(app, stalled_after_s)

    return app


def attempt_step(
    orchestrator: Orchestrator,
    handlers: Mapping[str, Handler],
    claim: Claim,
    should_stop: Callable[[], bool],
) -> None:
    """Run the step's handler and report.

    Raises:
        StepWillRetryError: the attempt failed and there is another.
        StepFailedError: the last attempt failed.
        JobAborted: the attempt ended, but nobody wants to know any more.
    """
    cause: Exception | None = None
    try:
        result = handlers[claim.kind](StepCall(claim.args, claim.inputs, should_stop))
        # Inside, because a result that cannot be stored is the step's failure too.
        outcome = orchestrator.succeed(claim, result)
    except Exception as error:  # noqa: BLE001 - recorded, and raised again as the cause
        cause = error
        outcome = orchestrator.fail(claim, repr(error))
    match outcome:
        case Outcome.RETRYING:
            raise StepWillRetryError(claim.step_id, claim.retry_wait_s) from cause
        case Outcome.FAILED:
            raise StepFailedError(claim.step_id) from cause
        case Outcome.DISCARDED:
            raise JobAborted from cause


async def recover_stalled(app: App, stalled_after_s: float) -> None:
    """Give the step jobs of silent workers to others."""
    stalled = await app.job_manager.get_stalled_jobs(task_name=RUN_STEP, seconds_since_heartbeat=stalled_after_s)
    for job in stalled:
        await app.job_manager.retry_job(job)
