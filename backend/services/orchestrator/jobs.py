"""Procrastinate's jobs, written over the connection of an open session.

A job that is deferred in the transaction that makes its step ready exists if and only if the step is ready: there is
no moment in which a crash could lose one of the two.
"""

import psycopg
from procrastinate import SyncPsycopgConnector
from procrastinate.jobs import Job
from procrastinate.manager import JobManager
from sqlalchemy.orm import Session

QUEUE = "steps"
RUN_STEP = "orchestrator.run_step"


class JobQueue:
    """Defers and cancels the jobs of steps."""

    def __init__(self) -> None:
        # Never opened: each call brings its own connection.
        self._manager = JobManager(SyncPsycopgConnector())

    def defer(self, session: Session, step_id: int) -> int:
        """Defer the job of a step and return its id.

        Raises:
            procrastinate.exceptions.AlreadyEnqueued: the step has a job waiting. The schedulers' locks rule that
                out; the queueing lock holds also for one who forgets them.
        """
        job = Job(
            queue=QUEUE,
            lock=None,
            queueing_lock=f"step:{step_id}",
            task_name=RUN_STEP,
            task_kwargs={"step_id": step_id},
        )
        job_id = self._manager.defer_job(job, connection=_driver_connection(session)).id
        return int(job_id or 0)

    def cancel(self, session: Session, job_id: int | None) -> None:
        """Take the job, if there is one, from the queue or, if a worker has it, ask that worker to stop."""
        if job_id is not None:
            self._manager.cancel_job_by_id(job_id, abort=True, connection=_driver_connection(session))


def _driver_connection(session: Session) -> psycopg.Connection:
    # SQLAlchemy types the connection of any driver as its own protocol; `psycopg_url` sees to it that it is psycopg.
    connection: psycopg.Connection = session.connection().connection.driver_connection  # type: ignore[assignment]
    return connection
