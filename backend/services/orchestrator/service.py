"""The service: each method is one transaction."""

from collections.abc import Callable
from time import monotonic
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from . import attempts, control, submission, views
from .errors import RunNotReadyError
from .graph import Graph
from .jobs import JobQueue
from .journal import hear, listening


class Orchestrator:
    """Runs graphs of steps. Instances share nothing but the database, so any number of processes may have one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs = JobQueue()

    def submit(self, key: str, graph: Graph) -> tuple[views.RunView, bool]:
        """Create a run, or find the live one of this key and content; return it and whether it is new.

        Raises:
            GraphError: the graph cannot run.
            KeyReusedError: the key's live run has other content.
        """
        with Session(self._engine) as session, session.begin():
            run_id, created = submission.submit(session, self._jobs, key, graph)
        return self.show(run_id), created

    def show(self, run_id: UUID) -> views.RunView:
        """Read a run as of one moment.

        Raises:
            RunNotFoundError: there is no such run.
        """
        with Session(self._engine) as session, session.begin():
            return views.read_run(session, run_id)

    def events(self, run_id: UUID) -> list[views.EventView]:
        """Read the journal of a run, oldest line first."""
        with Session(self._engine) as session, session.begin():
            return views.read_events(session, run_id)

    def cancel(self, run_id: UUID) -> views.RunView:
        """Cancel a run that is not finished.

        Raises:
            RunNotFoundError: there is no such run.
            IllegalTransitionError: the run is finished.
        """
        with Session(self._engine) as session, session.begin():
            control.cancel(session, self._jobs, run_id)
        return self.show(run_id)

    def retry(self, run_id: UUID) -> views.RunView:
        """Start the failed steps of a failed run anew.

        Raises:
            RunNotFoundError: there is no such run.
            IllegalTransitionError: the run has not failed.
        """
        with Session(self._engine) as session, session.begin():
            control.retry(session, self._jobs, run_id)
        return self.show(run_id)

    def wait(
        self,
        run_id: UUID,
        timeout_s: float,
        until: Callable[[views.RunView], bool] = lambda run: run.finished,
    ) -> views.RunView:
        """Wait until the run is finished, or fulfils `until`, without polling.

        Raises:
            RunNotFoundError: there is no such run.
            RunNotReadyError: it was not so within `timeout_s` seconds.
        """
        deadline = monotonic() + timeout_s
        with listening(self._engine, run_id) as connection:
            while not until(run := self.show(run_id)):
                if not hear(connection, deadline):
                    raise RunNotReadyError(run_id, timeout_s)
        return run

    def claim(self, step_id: int, job_id: int | None) -> attempts.Claim | None:
        """Begin an attempt at a step, for the worker that holds its job."""
        with Session(self._engine) as session, session.begin():
            return attempts.claim(session, step_id, job_id)

    def succeed(self, claim: attempts.Claim, result: object) -> attempts.Outcome:
        """Report the result of an attempt; it must be what JSON can hold."""
        with Session(self._engine) as session, session.begin():
            return attempts.succeed(session, self._jobs, claim, result)

    def fail(self, claim: attempts.Claim, error: str) -> attempts.Outcome:
        """Report that an attempt failed."""
        with Session(self._engine) as session, session.begin():
            return attempts.fail(session, claim, error)
