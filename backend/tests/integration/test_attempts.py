"""An attempt is claimed by the job that owns it, and only the newest claim can report."""

import pytest
from procrastinate.exceptions import JobAborted
from sqlalchemy import Engine

from backend.services.orchestrator import Claim, Orchestrator, Outcome, StepCall, StepFailedError, StepWillRetryError
from backend.services.orchestrator.tasks import TROUBLE_WAIT_S, StepRetry, attempt_step
from backend.steps import HANDLERS

from .helpers import graph, query, step, take

FAILING = graph(step("a", kind="fail"), step("b", "a"))


def reclaim(orchestrator: Orchestrator, claim: Claim) -> Claim | None:
    """Claim the step again for the same job, as after a crash or for the next attempt."""
    return orchestrator.claim(claim.step_id, claim.job_id)


def test_first_claim_starts_the_run(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """A run is pending until a worker begins its first step."""
    run, _ = orchestrator.submit("key", graph(step("a", value=1), step("b")))
    claim = take(postgres_engine, orchestrator, run.id, "a")
    assert (claim.kind, claim.args, claim.inputs, claim.attempt) == ("echo", {"value": 1}, {}, 1)
    take(postgres_engine, orchestrator, run.id, "b")
    run = orchestrator.show(run.id)
    assert (run.status, run.step("a").status, run.step("b").status) == ("running", "running", "running")
    started = [event.type for event in orchestrator.events(run.id) if event.type.endswith("_started")]
    assert started == ["run_started", "step_started", "step_started"]


def test_claim_has_the_results_of_the_dependencies(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """A step is given what it waited for, by name; JSON's null is a result too."""
    run, _ = orchestrator.submit("key", graph(step("a"), step("b"), step("c", "a", "b")))
    orchestrator.succeed(take(postgres_engine, orchestrator, run.id, "a"), {"x": [1, 2]})
    orchestrator.succeed(take(postgres_engine, orchestrator, run.id, "b"), None)
    assert take(postgres_engine, orchestrator, run.id, "c").inputs == {"a": {"x": [1, 2]}, "b": None}


def test_job_that_is_not_the_steps_has_nothing_to_do(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """An old job, a second delivery of a finished one and a job of a deleted run claim nothing."""
    run, _ = orchestrator.submit("key", graph(step("a"), step("b", "a")))
    claim = take(postgres_engine, orchestrator, run.id, "a")
    assert orchestrator.claim(claim.step_id, 999) is None
    orchestrator.succeed(claim, None)
    assert reclaim(orchestrator, claim) is None
    query(postgres_engine, "DELETE FROM runs")
    assert reclaim(orchestrator, claim) is None


def test_superseded_worker_cannot_report(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """When a job was given to another worker, only that one's result counts, whoever comes first."""
    run, _ = orchestrator.submit("key", graph(step("a")))
    slow = take(postgres_engine, orchestrator, run.id, "a")
    fast = reclaim(orchestrator, slow)
    assert fast is not None
    assert orchestrator.succeed(slow, "slow") is Outcome.DISCARDED
    assert orchestrator.fail(slow, "slow") is Outcome.DISCARDED
    assert orchestrator.succeed(fast, "fast") is Outcome.SUCCEEDED
    assert orchestrator.fail(slow, "slow") is Outcome.DISCARDED
    assert orchestrator.show(run.id).step("a").result == "fast"


def test_failed_attempt_is_retried_up_to_the_limit(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """A step returns to ready with its job until the limit of its kind; then it fails, and the run with it."""
    run, _ = orchestrator.submit("key", FAILING)
    claim = take(postgres_engine, orchestrator, run.id, "a")
    assert orchestrator.fail(claim, "one") is Outcome.RETRYING
    assert orchestrator.show(run.id).step("a").status == "ready"
    for error, outcome in (("two", Outcome.RETRYING), ("three", Outcome.FAILED)):
        again = reclaim(orchestrator, claim)
        assert again is not None
        assert orchestrator.fail(again, error) is outcome
    run = orchestrator.show(run.id)
    assert (run.status, run.step("a").status, run.step("b").status) == ("failed", "failed", "pending")
    assert run.step("a").error == "three"
    errors = [event.detail["error"] for event in orchestrator.events(run.id) if "error" in event.detail]
    assert errors == ["one", "two", "three"]


def test_step_that_kills_its_workers_is_given_up(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """A step whose worker died in each of its attempts fails, instead of taking the next worker down."""
    run, _ = orchestrator.submit("key", graph(step("a")))
    claim = take(postgres_engine, orchestrator, run.id, "a")
    assert [reclaim(orchestrator, claim) is None for _ in range(3)] == [False, False, True]
    run = orchestrator.show(run.id)
    assert (run.status, run.step("a").status) == ("failed", "failed")
    assert run.step("a").error == "the worker died in the last attempt"


def test_failure_stops_only_what_depends_on_it(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """The other branches of the graph go on, and the run fails when they are through."""
    run, _ = orchestrator.submit("key", graph(step("bad", kind="sum"), step("c", "bad"), step("good")))
    assert orchestrator.fail(take(postgres_engine, orchestrator, run.id, "bad"), "no") is Outcome.FAILED
    assert orchestrator.show(run.id).status == "running"
    orchestrator.succeed(take(postgres_engine, orchestrator, run.id, "good"), None)
    run = orchestrator.show(run.id)
    assert [step.status for step in run.steps] == ["failed", "pending", "succeeded"]
    assert run.status == "failed"
    assert run.finished_at is not None


@pytest.mark.parametrize("result", [{1, 2}, float("nan"), "\0"])
def test_result_that_cannot_be_stored_is_a_failed_attempt(
    orchestrator: Orchestrator, postgres_engine: Engine, result: object
) -> None:
    """A handler that returns what JSON or Postgres cannot hold has failed, and its step is not left running."""
    run, _ = orchestrator.submit("key", graph(step("a")))
    claim = take(postgres_engine, orchestrator, run.id, "a")
    with pytest.raises(StepWillRetryError):
        attempt_step(orchestrator, {"echo": lambda _: result}, claim, lambda: False)
    assert orchestrator.show(run.id).step("a").status == "ready"


def test_error_is_raised_for_procrastinate_with_its_cause(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """The job fails with the handler's exception as the cause, and the last time in another way than before."""
    run, _ = orchestrator.submit("key", FAILING)
    for expected in (StepWillRetryError, StepWillRetryError, StepFailedError):
        claim = take(postgres_engine, orchestrator, run.id, "a")
        with pytest.raises(expected) as caught:
            attempt_step(orchestrator, HANDLERS, claim, lambda: False)
        assert caught.value.step_id == claim.step_id
        assert repr(caught.value.__cause__) == "RequestedError('as requested')"


def test_handler_without_a_future_is_aborted(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """When the run is cancelled during the attempt, result and error are dropped and the job is aborted."""

    def cancel_and_return(_: StepCall) -> object:
        orchestrator.cancel(run.id)
        return 1

    run, _ = orchestrator.submit("key", graph(step("a")))
    claim = take(postgres_engine, orchestrator, run.id, "a")
    with pytest.raises(JobAborted):
        attempt_step(orchestrator, {"echo": cancel_and_return}, claim, lambda: True)
    assert orchestrator.show(run.id).step("a").status == "cancelled"


def test_only_final_errors_end_a_job() -> None:
    """A retry waits as long as the step's kind says; trouble that is not the step's is tried again later."""
    strategy = StepRetry()
    # The job is None throughout: the strategy decides by the exception alone, and must not look at it.
    assert strategy.get_retry_exception(StepFailedError(1), None) is None  # type: ignore[arg-type]
    assert strategy.get_retry_exception(JobAborted(), None) is None  # type: ignore[arg-type]
    soon, later = (
        strategy.get_retry_decision(exception=error, job=None)  # type: ignore[arg-type]
        for error in (StepWillRetryError(1, 0), ConnectionError())
    )
    assert soon is not None
    assert later is not None
    assert soon.retry_at is not None
    assert later.retry_at is not None
    assert TROUBLE_WAIT_S - 1 < (later.retry_at - soon.retry_at).total_seconds() <= TROUBLE_WAIT_S + 1
