"""Any number of workers share the steps, and what a dead one left is finished by another."""

import signal
import subprocess
import sys
from collections import Counter
from threading import Barrier, Lock

import pytest
from sqlalchemy import Engine

from backend.services.orchestrator import Orchestrator, StepCall
from backend.steps import HANDLERS

from .conftest import Work
from .helpers import DIAMOND, TIMEOUT_S, count, graph, query, step


def test_worker_runs_a_graph_to_its_end(orchestrator: Orchestrator, work: Work) -> None:
    """Results flow along the edges of the graph, from real handlers."""
    run, _ = orchestrator.submit(
        "key",
        graph(
            step("small", kind="sum", numbers=[1, 2]),
            step("nap", kind="sleep", seconds=0),
            step("total", "small", "nap", kind="sum", numbers=[39]),
            step("copy", "total", text="done"),
        ),
    )
    work()
    run = orchestrator.show(run.id)
    assert run.status == "succeeded"
    assert {step.name: step.result for step in run.steps} == {
        "small": 3,
        "nap": 0,
        "total": 42,
        "copy": {"text": "done"},
    }


def test_two_workers_work_at_the_same_time(orchestrator: Orchestrator, work: Work) -> None:
    """Two independent steps run side by side: each handler waits inside for the other to arrive."""
    meeting = Barrier(2)
    run, _ = orchestrator.submit("key", graph(step("a"), step("b")))
    work({"echo": lambda _: meeting.wait(TIMEOUT_S)}, workers=2)
    assert sorted(step.result for step in orchestrator.show(run.id).steps) == [0, 1]


def test_many_workers_run_each_step_once(orchestrator: Orchestrator, postgres_engine: Engine, work: Work) -> None:
    """Four workers on six diamonds attempt each step once, and nothing is left in the queue."""
    attempts: Counter[tuple[int, str]] = Counter()
    lock = Lock()

    def note(call: StepCall) -> object:
        with lock:
            attempts[call.args["run"], call.args["label"]] += 1
        return None

    numbers = range(6)
    runs = [
        orchestrator.submit(
            f"key {number}",
            graph(*(step(s.name, *s.after, run=number, label=s.name) for s in DIAMOND.steps)),
        )[0]
        for number in numbers
    ]
    work({"echo": note}, workers=4)
    assert {orchestrator.show(run.id).status for run in runs} == {"succeeded"}
    assert attempts == Counter((number, s.name) for number in numbers for s in DIAMOND.steps)
    statuses = "SELECT status::text, count(*) FROM procrastinate_jobs GROUP BY status"
    assert query(postgres_engine, statuses) == [("succeeded", 24)]


def test_procrastinate_brings_a_failing_step_back(
    orchestrator: Orchestrator, postgres_engine: Engine, work: Work
) -> None:
    """One job is attempted as often as the step's kind allows, and fails when the step does."""
    run, _ = orchestrator.submit("key", graph(step("a", kind="fail", message="no luck")))
    work()
    run = orchestrator.show(run.id)
    assert (run.status, run.step("a").attempts) == ("failed", 3)
    assert run.step("a").error == "RequestedError('no luck')"
    assert query(postgres_engine, "SELECT status::text, attempts FROM procrastinate_jobs") == [("failed", 3)]


def test_step_can_succeed_on_a_later_attempt(orchestrator: Orchestrator, work: Work) -> None:
    """A handler that fails once and then works makes the run succeed, and the journal tells the story."""
    handlers = iter([HANDLERS["fail"], HANDLERS["echo"]])

    def fail_once(call: StepCall) -> object:
        return next(handlers)(call)

    run, _ = orchestrator.submit("key", graph(step("a", kind="fail", message="once")))
    work({"fail": fail_once})
    run = orchestrator.show(run.id)
    assert (run.status, run.step("a").attempts) == ("succeeded", 2)
    assert [event.type for event in orchestrator.events(run.id)] == [
        "run_submitted",
        "step_ready",
        "run_started",
        "step_started",
        "step_retrying",
        "step_started",
        "step_succeeded",
        "run_succeeded",
    ]


def test_job_without_a_step_is_harmless(orchestrator: Orchestrator, postgres_engine: Engine, work: Work) -> None:
    """A run that was deleted leaves jobs that workers finish without doing anything."""
    orchestrator.submit("key", graph(step("a", kind="fail")))
    query(postgres_engine, "DELETE FROM runs")
    work()
    assert query(postgres_engine, "SELECT status::text FROM procrastinate_jobs") == [("succeeded",)]


def test_step_of_a_killed_worker_is_finished_by_another(
    orchestrator: Orchestrator, postgres_engine: Engine, work: Work, worker_process: subprocess.Popen[bytes]
) -> None:
    """A worker killed in the middle of a step leaves it running; Procrastinate's recovery gives it to another."""
    run, _ = orchestrator.submit("key", graph(step("a", kind="sleep", seconds=TIMEOUT_S), step("b", "a", kind="sum")))
    orchestrator.wait(run.id, TIMEOUT_S, lambda run: run.step("a").status == "running")
    worker_process.kill()
    worker_process.wait(TIMEOUT_S)
    work()
    assert orchestrator.show(run.id).step("a").status == "running"

    query(postgres_engine, """UPDATE steps SET args = '{"seconds": 0}' WHERE name = 'a'""")
    work(recover_after_s=0)
    run = orchestrator.show(run.id)
    assert (run.status, run.step("a").attempts, run.step("b").result) == ("succeeded", 2, 0)


def test_recovery_leaves_living_workers_alone(orchestrator: Orchestrator, postgres_engine: Engine, work: Work) -> None:
    """A job in progress is not taken from a worker whose heart beat within the limit."""
    orchestrator.submit("key", graph(step("a")))
    query(
        postgres_engine,
        "WITH worker AS (INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING id)"
        " UPDATE procrastinate_jobs SET status = 'doing', worker_id = worker.id FROM worker",
    )
    work(recover_after_s=30)
    statuses = "SELECT status::text FROM procrastinate_jobs WHERE queue_name = 'steps'"
    assert query(postgres_engine, statuses) == [("doing",)]


def test_recovery_survives_a_worker_that_died_in_it(
    orchestrator: Orchestrator, postgres_engine: Engine, work: Work
) -> None:
    """A recovery that was never finished does not keep the next one from its work."""
    work(recover_after_s=30)
    run, _ = orchestrator.submit("key", graph(step("a")))
    query(postgres_engine, "UPDATE procrastinate_jobs SET status = 'doing'")
    work(recover_after_s=30)
    assert orchestrator.show(run.id).status == "succeeded"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that asks a process to end")
def test_worker_process_ends_when_asked(
    orchestrator: Orchestrator, postgres_engine: Engine, worker_process: subprocess.Popen[bytes]
) -> None:
    """`python -m backend.worker` runs what is submitted and, asked to end, signs off with exit code 0."""
    run, _ = orchestrator.submit("key", DIAMOND)
    assert orchestrator.wait(run.id, TIMEOUT_S).status == "succeeded"
    worker_process.send_signal(signal.SIGTERM)
    assert worker_process.wait(TIMEOUT_S) == 0
    assert count(postgres_engine, "procrastinate_workers") == 0
