"""A step starts when all it waits for has succeeded, and exactly once."""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from procrastinate.exceptions import AlreadyEnqueued
from sqlalchemy import URL, Engine, text
from sqlalchemy.orm import Session

from backend.database import conninfo
from backend.models import Step
from backend.services.orchestrator import Orchestrator, Outcome
from backend.services.orchestrator.jobs import JobQueue
from backend.services.orchestrator.scheduling import start

from .helpers import DIAMOND, TIMEOUT_S, graph, query, step, take, wait_until_blocked

JOBS_OF_STEPS = """
SELECT steps.name, count(*) FROM procrastinate_jobs
JOIN steps ON steps.id = (procrastinate_jobs.args->>'step_id')::bigint GROUP BY steps.name ORDER BY steps.name
"""


def test_each_step_waits_for_all_of_its_dependencies(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """One of two dependencies is not enough, and the last one starts the step."""
    run, _ = orchestrator.submit("key", DIAMOND)
    orchestrator.succeed(take(postgres_engine, orchestrator, run.id, "top"), None)
    orchestrator.succeed(take(postgres_engine, orchestrator, run.id, "left"), None)
    assert orchestrator.show(run.id).step("bottom").status == "pending"
    orchestrator.succeed(take(postgres_engine, orchestrator, run.id, "right"), None)
    assert orchestrator.show(run.id).step("bottom").status == "ready"


def test_racing_schedulers_start_the_dependent_step_once(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """Two transactions that finish the last two dependencies while both are open start the step exactly once."""
    run, _ = orchestrator.submit("key", DIAMOND)
    orchestrator.succeed(take(postgres_engine, orchestrator, run.id, "top"), None)
    claims = [take(postgres_engine, orchestrator, run.id, name) for name in ("left", "right")]
    with ThreadPoolExecutor(2) as pool:
        with postgres_engine.begin() as gate:
            gate.execute(text("SELECT FROM runs FOR UPDATE"))
            futures = [pool.submit(orchestrator.succeed, claim, None) for claim in claims]
            wait_until_blocked(postgres_engine, 2)
        assert [future.result(TIMEOUT_S) for future in futures] == [Outcome.SUCCEEDED] * 2
    assert query(postgres_engine, JOBS_OF_STEPS) == [("bottom", 1), ("left", 1), ("right", 1), ("top", 1)]
    started = [str(event.step) for event in orchestrator.events(run.id) if event.type == "step_ready"]
    assert sorted(started) == ["bottom", "left", "right", "top"]


def test_job_and_readiness_are_committed_together(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """Until the scheduler commits, others see neither the ready step nor its job."""
    run, _ = orchestrator.submit("key", graph(step("a"), step("b", "a")))
    claim = take(postgres_engine, orchestrator, run.id, "a")
    with ThreadPoolExecutor(1) as pool:
        # The scheduler stops at the row that it wants to make ready, after it has deferred the job.
        with postgres_engine.begin() as gate:
            gate.execute(text("SELECT FROM steps WHERE name = 'b' FOR UPDATE"))
            future = pool.submit(orchestrator.succeed, claim, None)
            wait_until_blocked(postgres_engine, 1)
            assert query(postgres_engine, "SELECT last_value FROM procrastinate_jobs_id_seq") == [(2,)]
            assert query(postgres_engine, "SELECT job_id FROM steps WHERE name = 'b'") == [(None,)]
            assert query(postgres_engine, JOBS_OF_STEPS) == [("a", 1)]
        future.result(TIMEOUT_S)
    ((job_id,),) = query(postgres_engine, "SELECT job_id FROM steps WHERE name = 'b'")
    args = query(postgres_engine, "SELECT args->>'step_id' FROM procrastinate_jobs WHERE id = :id", id=job_id)
    assert args == query(postgres_engine, "SELECT id::text FROM steps WHERE name = 'b'")


def test_workers_hear_of_a_job_only_when_it_is_committed(
    orchestrator: Orchestrator, postgres_engine: Engine, postgres_url: URL
) -> None:
    """Procrastinate's notification comes with the commit, once for each root of the graph."""
    with psycopg.connect(conninfo(postgres_url), autocommit=True) as listener:
        listener.execute("LISTEN procrastinate_any_queue_v1")
        with Session(postgres_engine) as session:
            JobQueue().defer(session, 1)
            session.rollback()
        assert list(listener.notifies(timeout=0)) == []
        orchestrator.submit("key", graph(step("a"), step("b")))
        heard = list(listener.notifies(timeout=TIMEOUT_S, stop_after=2))
    assert len(heard) == 2


def test_second_waiting_job_for_a_step_is_impossible(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """A scheduler that took no lock is stopped by Procrastinate's queueing lock."""
    orchestrator.submit("key", graph(step("a")))
    with Session(postgres_engine) as session, pytest.raises(AlreadyEnqueued):
        start(session, JobQueue(), session.query(Step).one())
