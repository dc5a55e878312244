"""A client waits for a run over LISTEN/NOTIFY."""

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, Engine, text

from backend.database import conninfo
from backend.services.orchestrator import Orchestrator, RunNotFoundError, RunNotReadyError
from backend.services.orchestrator.journal import hear, listening

from .conftest import Work
from .helpers import DIAMOND, TIMEOUT_S, graph, step, take


def test_wait_returns_when_the_run_is_finished(orchestrator: Orchestrator, work: Work) -> None:
    """A client that waits on another connection gets the finished run while workers run it."""
    run, _ = orchestrator.submit("key", DIAMOND)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(orchestrator.wait, run.id, TIMEOUT_S)
        work(workers=2)
        finished = waiting.result(TIMEOUT_S)
    assert finished.status == "succeeded"
    assert finished == orchestrator.show(run.id)


def test_wait_for_a_finished_run_does_not_wait(orchestrator: Orchestrator) -> None:
    """What has already happened is seen without a notification, and without any patience."""
    run, _ = orchestrator.submit("key", DIAMOND)
    orchestrator.cancel(run.id)
    assert orchestrator.wait(run.id, 0).status == "cancelled"


def test_wait_gives_up_in_time(orchestrator: Orchestrator) -> None:
    """A run that nobody works on is reported as not ready, with the time that was allowed."""
    run, _ = orchestrator.submit("key", DIAMOND)
    with pytest.raises(RunNotReadyError) as caught:
        orchestrator.wait(run.id, 0.01)
    assert (caught.value.run_id, caught.value.timeout_s) == (run.id, 0.01)


def test_wait_for_an_unknown_run_fails_at_once(orchestrator: Orchestrator) -> None:
    """There is nothing to wait for when there is no run."""
    with pytest.raises(RunNotFoundError):
        orchestrator.wait(uuid4(), TIMEOUT_S)


def test_any_client_can_listen(orchestrator: Orchestrator, postgres_engine: Engine, postgres_url: URL) -> None:
    """A plain connection that listens to the run's channel hears each kind of event of a transaction, in order."""
    run, _ = orchestrator.submit("key", graph(step("a")))
    with psycopg.connect(conninfo(postgres_url), autocommit=True) as listener:
        listener.execute(sql.SQL("LISTEN {}").format(sql.Identifier(f"run_{run.id}")))
        claim = take(postgres_engine, orchestrator, run.id, "a")
        orchestrator.succeed(claim, None)
        heard = [notify.payload for notify in listener.notifies(timeout=TIMEOUT_S, stop_after=4)]
    assert heard == ["run_started", "step_started", "step_succeeded", "run_succeeded"]


def test_nothing_is_heard_of_what_is_rolled_back(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """An event that is not committed is not announced, and other runs' events are not either."""
    run, _ = orchestrator.submit("key", DIAMOND)
    with listening(postgres_engine, run.id) as connection:
        with postgres_engine.connect() as other:
            other.execute(text("INSERT INTO run_events (run_id, type) VALUES (:id, 'run_failed')"), {"id": run.id})
            other.rollback()
        orchestrator.submit("another", DIAMOND)
        assert not hear(connection, until=0)


def test_listening_connection_does_not_return_to_the_pool(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """The next borrower of a pooled connection never gets somebody else's notifications."""
    run, _ = orchestrator.submit("key", DIAMOND)
    with listening(postgres_engine, run.id) as connection:
        pid = connection.info.backend_pid
    assert connection.closed
    with postgres_engine.connect() as borrowed:
        assert borrowed.scalar(text("SELECT pg_backend_pid()")) != pid
        assert borrowed.scalars(text("SELECT pg_listening_channels()")).all() == []
