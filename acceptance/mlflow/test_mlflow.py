"""Experiments and runs through MLflow's own store."""

from __future__ import annotations

import time

import pytest
from mlflow.entities import Metric, Param, RunTag
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import Engine, text


def _now() -> int:
    """Milliseconds, as MLflow counts."""
    return int(time.time() * 1000)


@pytest.mark.parametrize("attempt", [1, 2])
def test_run_is_logged(store: SqlAlchemyStore, attempt: int) -> None:
    """An experiment of the same name and number can be made in every test, with a run, a metric and a parameter."""
    experiment = store.create_experiment("parabola")
    assert experiment == "1"
    run = store.create_run(experiment, "somebody", _now(), [RunTag("team", "a")], "first").info.run_id
    store.log_batch(run, [Metric("loss", 0.5, _now(), 1)], [Param("rate", "0.1")], [])
    assert store.get_run(run).data.metrics == {"loss": 0.5}


def test_default_workspace_is_changed(proven_clean: None, postgres_engine: Engine) -> None:
    """The row that a revision inserted is changed."""
    with postgres_engine.begin() as connection:
        changed = connection.execute(text("UPDATE workspaces SET description = 'changed' WHERE name = 'default'"))
        assert changed.rowcount == 1


def test_default_workspace_is_deleted(proven_clean: None, postgres_engine: Engine) -> None:
    """It is deleted, after the change of another test was undone."""
    with postgres_engine.begin() as connection:
        row = connection.execute(text("DELETE FROM workspaces RETURNING name, description")).one()
        assert row.description != "changed"


def test_version_row_is_deleted(proven_clean: None, postgres_engine: Engine) -> None:
    """The row by which Alembic knows the revision is deleted, without MLflow."""
    with postgres_engine.begin() as connection:
        assert connection.execute(text("DELETE FROM alembic_version")).rowcount == 1
