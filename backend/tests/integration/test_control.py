"""Runs are cancelled and retried only in the states that allow it."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from backend.models import Step, StepStatus
from backend.services.orchestrator import IllegalTransitionError, Orchestrator, Outcome, RunNotFoundError
from backend.services.orchestrator.states import move_step

from .conftest import Work
from .helpers import DIAMOND, TIMEOUT_S, graph, query, step, take, wait_until_blocked

JOB_STATUSES = "SELECT status::text FROM procrastinate_jobs ORDER BY id"


def finish(engine: Engine, orchestrator: Orchestrator, run_id: UUID, name: str) -> None:
    """Let a step succeed."""
    orchestrator.succeed(take(engine, orchestrator, run_id, name), None)


def fail_for_good(engine: Engine, orchestrator: Orchestrator, run_id: UUID, name: str) -> None:
    """Let a step of a kind with one attempt fail."""
    assert orchestrator.fail(take(engine, orchestrator, run_id, name), "no") is Outcome.FAILED


def test_cancel_stops_everything_that_is_not_finished(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """Succeeded steps stay, the others are cancelled, and so are the jobs that wait."""
    run, _ = orchestrator.submit("key", DIAMOND)
    finish(postgres_engine, orchestrator, run.id, "top")
    run = orchestrator.cancel(run.id)
    assert run.status == "cancelled"
    assert run.finished_at is not None
    assert [step.status for step in run.steps] == ["succeeded", "cancelled", "cancelled", "cancelled"]
    assert query(postgres_engine, JOB_STATUSES)[1:] == [("cancelled",), ("cancelled",)]
    assert orchestrator.events(run.id)[-1].type == "run_cancelled"


def test_cancel_and_the_last_result_exclude_each_other(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """Of a cancellation and a result that overlap, the first to get the run's lock wins and the other is told."""
    run, _ = orchestrator.submit("key", graph(step("a")))
    claim = take(postgres_engine, orchestrator, run.id, "a")
    with ThreadPoolExecutor(2) as pool:
        with postgres_engine.begin() as gate:
            gate.execute(text("SELECT FROM runs FOR UPDATE"))
            cancelling = pool.submit(orchestrator.cancel, run.id)
            reporting = pool.submit(orchestrator.succeed, claim, None)
            wait_until_blocked(postgres_engine, 2)
        refused, outcome = cancelling.exception(TIMEOUT_S), reporting.result(TIMEOUT_S)
    if refused is None:
        assert outcome is Outcome.DISCARDED
        assert orchestrator.show(run.id).status == "cancelled"
    else:
        assert isinstance(refused, IllegalTransitionError)
        assert outcome is Outcome.SUCCEEDED
        assert orchestrator.show(run.id).status == "succeeded"


def test_running_step_is_asked_to_stop(orchestrator: Orchestrator, postgres_engine: Engine, work: Work) -> None:
    """Cancelling interrupts a step in progress through its worker, and its job ends as aborted."""
    run, _ = orchestrator.submit("key", graph(step("a", kind="sleep", seconds=TIMEOUT_S)))
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        orchestrator.wait(run.id, TIMEOUT_S, lambda run: run.step("a").status == "running")
        orchestrator.cancel(run.id)
        working.result(TIMEOUT_S)
    assert orchestrator.show(run.id).step("a").status == "cancelled"
    assert query(postgres_engine, JOB_STATUSES) == [("aborted",)]


def test_retry_starts_only_what_failed(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """A retried run keeps its results, gives failed steps new attempts and a new job, and can then succeed."""
    run, _ = orchestrator.submit("key", graph(step("a"), step("b", "a", kind="sum"), step("c", "b")))
    finish(postgres_engine, orchestrator, run.id, "a")
    stale = take(postgres_engine, orchestrator, run.id, "b")
    orchestrator.fail(stale, "no")
    run = orchestrator.retry(run.id)
    assert (run.status, run.finished_at) == ("pending", None)
    assert [(step.status, step.attempts, step.error) for step in run.steps] == [
        ("succeeded", 1, None),
        ("ready", 0, None),
        ("pending", 0, None),
    ]
    assert orchestrator.claim(stale.step_id, stale.job_id) is None
    finish(postgres_engine, orchestrator, run.id, "b")
    finish(postgres_engine, orchestrator, run.id, "c")
    assert orchestrator.show(run.id).status == "succeeded"


def test_finished_runs_cannot_be_cancelled(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """Cancelling is refused with the state of the run, for each state that is final."""
    succeeded, failed, cancelled = (orchestrator.submit(key, graph(step("a", kind="sum")))[0].id for key in "123")
    finish(postgres_engine, orchestrator, succeeded, "a")
    fail_for_good(postgres_engine, orchestrator, failed, "a")
    orchestrator.cancel(cancelled)
    for run_id, status in ((succeeded, "succeeded"), (failed, "failed"), (cancelled, "cancelled")):
        with pytest.raises(IllegalTransitionError) as caught:
            orchestrator.cancel(run_id)
        assert vars(caught.value) == {"subject": f"run {run_id}", "current": status, "wanted": "cancelled"}
        assert orchestrator.show(run_id).status == status


def test_only_failed_runs_can_be_retried(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """Retrying is refused for a run that is waiting, running, done or cancelled."""
    run, _ = orchestrator.submit("key", graph(step("a"), step("b")))
    other, _ = orchestrator.submit("other", DIAMOND)
    orchestrator.cancel(other.id)
    with pytest.raises(IllegalTransitionError):
        orchestrator.retry(other.id)
    with pytest.raises(IllegalTransitionError):
        orchestrator.retry(run.id)
    finish(postgres_engine, orchestrator, run.id, "a")
    with pytest.raises(IllegalTransitionError):
        orchestrator.retry(run.id)
    finish(postgres_engine, orchestrator, run.id, "b")
    with pytest.raises(IllegalTransitionError):
        orchestrator.retry(run.id)


def test_unknown_run_is_named(orchestrator: Orchestrator) -> None:
    """Every operation on a run that does not exist says which one it was."""
    run_id = uuid4()
    for operation in (orchestrator.show, orchestrator.cancel, orchestrator.retry):
        with pytest.raises(RunNotFoundError) as caught:
            operation(run_id)
        assert caught.value.run_id == run_id
    assert orchestrator.events(run_id) == []


def test_steps_move_legally_in_python_too(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """A step is refused an illegal move before the database sees it."""
    orchestrator.submit("key", graph(step("a")))
    with Session(postgres_engine) as session, pytest.raises(IllegalTransitionError):
        move_step(session.query(Step).one(), StepStatus.SUCCEEDED)
