"""Runs, cursors and backfills through Dagster's own storages."""

from __future__ import annotations

import pytest
from dagster import DagsterRun, DagsterRunStatus
from dagster_postgres import PostgresRunStorage
from sqlalchemy import Engine, text

RUN = "4f0c4b0e-3f60-4a6c-9d3f-5a0a7a6f4c11"


@pytest.mark.parametrize("attempt", [1, 2])
def test_run_is_added(runs: PostgresRunStorage, postgres_engine: Engine, attempt: int) -> None:
    """A run of the same identifier can be added in every test, and gets the first number."""
    runs.add_run(DagsterRun(job_name="nightly", run_id=RUN, status=DagsterRunStatus.SUCCESS, tags={"team": "a"}))
    assert [run.run_id for run in runs.get_runs()] == [RUN]
    with postgres_engine.connect() as connection:
        assert connection.scalar(text("SELECT id FROM runs")) == 1


def test_cursor_is_kept(runs: PostgresRunStorage) -> None:
    """A value is set twice: what is left is the second one."""
    runs.set_cursor_values({"position": "1"})
    runs.set_cursor_values({"position": "2"})
    assert runs.get_cursor_values({"position"}) == {"position": "2"}


def test_run_is_deleted(runs: PostgresRunStorage) -> None:
    """A deleted run leaves advanced sequences behind and nothing else."""
    runs.add_run(DagsterRun(job_name="nightly", run_id=RUN, tags={"team": "a"}))
    runs.delete_run(RUN)
    assert runs.get_runs() == []


def test_index_notes_are_deleted(url: str, postgres_engine: Engine) -> None:
    """The rows with which Dagster notes what data it has migrated are deleted, with the row of Alembic."""
    with postgres_engine.begin() as connection:
        assert connection.execute(text("DELETE FROM secondary_indexes")).rowcount == 11
        assert connection.execute(text("DELETE FROM alembic_version")).rowcount == 1
