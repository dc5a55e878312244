"""Submitting is idempotent by key, also when everybody does it at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DataError, OperationalError

from backend.services.orchestrator import Graph, KeyReusedError, Orchestrator

from .helpers import DIAMOND, TIMEOUT_S, count, graph, query, step, wait_until_blocked


def test_same_key_and_content_is_the_same_run(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """A second submission returns the first one's run and writes neither steps nor jobs."""
    first, created = orchestrator.submit("key", DIAMOND)
    again, created_again = orchestrator.submit("key", graph(*reversed(list(DIAMOND.steps))))
    assert (created, created_again) == (True, False)
    assert again == first
    assert count(postgres_engine, "steps") == 4
    assert count(postgres_engine, "procrastinate_jobs") == 1


@pytest.mark.parametrize(
    "other",
    [
        graph(step("a", value=True)),
        graph(step("a", value="1")),
        graph(step("a", value=1), step("b")),
        graph(step("a", kind="sum", value=1)),
    ],
)
def test_same_key_with_other_content_is_refused(orchestrator: Orchestrator, other: Graph) -> None:
    """A key stands for one content; JSON's `1` and `true` are different, though Python's are equal."""
    run, _ = orchestrator.submit("key", graph(step("a", value=1)))
    with pytest.raises(KeyReusedError) as caught:
        orchestrator.submit("key", other)
    assert (caught.value.key, caught.value.run_id) == ("key", run.id)


def test_cancelled_run_gives_its_key_back(orchestrator: Orchestrator) -> None:
    """After cancellation the key starts a new run, even with other content."""
    first, _ = orchestrator.submit("key", DIAMOND)
    orchestrator.cancel(first.id)
    second, created = orchestrator.submit("key", graph(step("a")))
    assert created
    assert second.id != first.id


def test_what_json_cannot_hold_leaves_no_trace(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """Arguments that Postgres refuses are an error, and the transaction takes everything back."""
    with pytest.raises(DataError):
        orchestrator.submit("key", graph(step("a", value=float("nan"))))
    assert count(postgres_engine, "runs") == 0


def test_concurrent_submissions_make_one_run(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """Of two submissions that overlap, one creates the run and the other waits and gets the same one."""
    with ThreadPoolExecutor(2) as pool:
        # The first to insert the run stops before its steps, the second stops at the first one's key.
        with postgres_engine.begin() as gate:
            gate.execute(text("LOCK TABLE steps IN EXCLUSIVE MODE"))
            futures = [pool.submit(orchestrator.submit, "key", DIAMOND) for _ in range(2)]
            wait_until_blocked(postgres_engine, 2)
        results = [future.result(TIMEOUT_S) for future in futures]
    assert sorted(created for _, created in results) == [False, True]
    assert len({run.id for run, _ in results}) == 1
    assert count(postgres_engine, "procrastinate_jobs") == 1


def test_submission_survives_the_failure_of_a_concurrent_one(
    orchestrator: Orchestrator, postgres_engine: Engine
) -> None:
    """When the submission that came first is undone, the one that waited for it creates the run."""
    inserting = (
        "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO steps %'"
    )
    with ThreadPoolExecutor(2) as pool:
        with postgres_engine.begin() as gate:
            gate.execute(text("LOCK TABLE steps IN EXCLUSIVE MODE"))
            futures = [pool.submit(orchestrator.submit, "key", DIAMOND) for _ in range(2)]
            wait_until_blocked(postgres_engine, 2)
            assert query(postgres_engine, inserting) == [(True,)]
        errors = [future.exception(TIMEOUT_S) for future in futures]
    (failed,) = [error for error in errors if error]
    assert isinstance(failed, OperationalError)
    (survivor,) = [future for future in futures if not future.exception()]
    run, created = survivor.result()
    assert created
    assert query(postgres_engine, "SELECT id FROM runs") == [(run.id,)]
    assert count(postgres_engine, "procrastinate_jobs") == 1
