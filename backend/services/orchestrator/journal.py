"""Writing a run's journal, and listening to it."""

import contextlib
from collections.abc import Iterator
from time import monotonic
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from backend.models import EventType, RunEvent


def record(session: Session, run_id: UUID, event: EventType, step_id: int | None = None, **detail: object) -> None:
    """Write one line; listeners hear of it when the caller's transaction commits, and not if it does not."""
    session.add(RunEvent(run_id=run_id, step_id=step_id, type=event, detail=detail))


@contextlib.contextmanager
def listening(engine: Engine, run_id: UUID) -> Iterator[psycopg.Connection]:
    """Listen to one run. Whoever reads the run after this has begun misses nothing."""
    pooled = engine.raw_connection()
    # SQLAlchemy types the connection of any driver as its own protocol; `psycopg_url` sees to it that it is psycopg.
    connection: psycopg.Connection = pooled.driver_connection  # type: ignore[assignment]
    # A connection that listens would bring its notifications to its next borrower, so it leaves the pool for good.
    pooled.detach()
    with contextlib.closing(pooled):
        connection.autocommit = True
        connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(f"run_{run_id}")))
        yield connection


def hear(connection: psycopg.Connection, until: float) -> bool:
    """Wait for a notification, at most until the monotonic clock shows `until`; return whether there was one."""
    patience_s = max(0.0, until - monotonic())
    return any(True for _ in connection.notifies(timeout=patience_s, stop_after=1))
