"""What the guide promises of the fixtures, seen from a test.

Each test below is run twice and does its worst to the database. Whichever of the two comes second finds out whether the
first was undone, so the order does not matter.
"""

import pytest
from sqlalchemy import URL, Engine, func, select
from sqlalchemy.orm import Session

from backend.models import Run, RunEvent, Step, StepKind
from backend.services.orchestrator import Orchestrator

from .conftest import Work
from .helpers import DIAMOND, count, query

twice = pytest.mark.parametrize("time", ["once", "again"])
TABLES = ("runs", "steps", "step_dependencies", "run_events", "procrastinate_jobs", "procrastinate_events")


@twice
def test_rows_that_a_test_committed_are_gone(
    orchestrator: Orchestrator, postgres_engine: Engine, work: Work, time: str
) -> None:
    """Tables are empty when a test begins, whatever another committed through whatever connections."""
    assert {count(postgres_engine, table) for table in TABLES} == {0}, time
    orchestrator.submit("key", DIAMOND)
    work(workers=2)
    assert 0 not in {count(postgres_engine, table) for table in TABLES}


@twice
def test_rows_that_migrations_inserted_are_back(postgres_engine: Engine, time: str) -> None:
    """Lookup rows are as the migrations left them, after update, delete and insert."""
    with Session(postgres_engine) as session, session.begin():
        kinds = {kind.name: kind.max_attempts for kind in session.scalars(select(StepKind))}
        assert kinds == {"echo": 3, "sum": 1, "sleep": 3, "fail": 3}, time
        session.get_one(StepKind, "echo").max_attempts = 9
        session.delete(session.get_one(StepKind, "sum"))
        session.add(StepKind(name="new", max_attempts=1, retry_wait_s=0, description=""))


@twice
def test_sequences_start_again(orchestrator: Orchestrator, postgres_engine: Engine, time: str) -> None:
    """Identity columns begin at one in every test."""
    orchestrator.submit("key", DIAMOND)
    with Session(postgres_engine) as session:
        assert session.scalar(select(func.min(Step.id))) == 1, time
        assert session.scalar(select(func.min(RunEvent.id))) == 1
    assert query(postgres_engine, "SELECT min(id) FROM procrastinate_jobs") == [(1,)]


@twice
def test_engine_is_the_migrated_database(postgres_engine: Engine, postgres_url: URL, time: str) -> None:
    """The shared engine speaks to a real Postgres with the schema at head, in ORM and in SQL."""
    assert postgres_engine.url == postgres_url, time
    assert postgres_engine.dialect.name == "postgresql"
    assert query(postgres_engine, "SELECT version_num FROM alembic_version") == [("0008",)]
    with Session(postgres_engine) as session, session.begin():
        session.add(Run(key="key", document={}))
    assert query(postgres_engine, "SELECT key FROM runs") == [("key",)]
