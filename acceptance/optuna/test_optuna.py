"""Studies and trials through Optuna's own storage, on a database made by its own history."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import optuna
import pytest
from conftest import Loggers, open_storage, optuna_config
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from sqlalchemy import Engine, select, text
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from pytest_pristine import Workspace

TRIALS = 5


@pytest.fixture
def storage(proven_clean: None, postgres_url: URL) -> Iterator[RDBStorage]:
    """Optuna's storage with connections of its own, as an application has it."""
    with open_storage(postgres_url) as storage:
        yield storage


def objective(trial: optuna.Trial) -> float:
    """Uses a number of each kind, reports on the way, and keeps a note."""
    x = trial.suggest_float("x", -10, 10)
    trial.suggest_int("n", 1, 3)
    trial.suggest_categorical("kind", ["a", "b"])
    trial.report(abs(x), step=0)
    trial.set_user_attr("note", f"x was {x}")
    return x**2


def test_study_is_optimised(storage: RDBStorage) -> None:
    """A study that was optimised is read back with all its trials."""
    study = optuna.create_study(storage=storage, study_name="parabola", sampler=optuna.samplers.RandomSampler(seed=1))
    study.set_user_attr("owner", "acceptance")
    study.optimize(objective, n_trials=TRIALS)

    loaded = optuna.load_study(study_name="parabola", storage=storage)
    assert [trial.state for trial in loaded.trials] == [optuna.trial.TrialState.COMPLETE] * TRIALS
    assert loaded.best_value == min(trial.value for trial in loaded.trials)


def test_the_same_name_is_free_again(storage: RDBStorage, postgres_engine: Engine) -> None:
    """A study of the same name starts with the first identifiers: neither row nor sequence is left of the other."""
    study = optuna.create_study(storage=storage, study_name="parabola")
    study.optimize(objective, n_trials=1)

    with postgres_engine.connect() as connection:
        rows = connection.execute(text("SELECT study_id, trial_id FROM trials")).all()
    assert rows == [(1, 1)]


def test_deleted_study_takes_its_trials_along(storage: RDBStorage) -> None:
    """Deleting a study leaves advanced sequences behind and nothing else."""
    study = optuna.create_study(storage=storage, study_name="short-lived")
    study.optimize(objective, n_trials=1)
    optuna.delete_study(study_name="short-lived", storage=storage)

    assert optuna.get_all_study_names(storage) == []


def test_release_row_is_changed(proven_clean: None, postgres_engine: Engine) -> None:
    """A row that was there before the first test is changed."""
    with Session(postgres_engine) as session, session.begin():
        session.scalars(select(models.VersionInfoModel)).one().library_version = "0.0.0"


def test_release_row_is_deleted(proven_clean: None, postgres_engine: Engine) -> None:
    """A row that was there before the first test is deleted, after the change of another test was undone."""
    with Session(postgres_engine) as session, session.begin():
        row = session.scalars(select(models.VersionInfoModel)).one()
        assert row.library_version == optuna.__version__
        session.delete(row)


def test_version_row_is_deleted(proven_clean: None, postgres_engine: Engine) -> None:
    """The row by which Alembic knows the revision is deleted, and Optuna is not given the chance to write it anew."""
    with postgres_engine.begin() as connection:
        assert connection.execute(text("DELETE FROM alembic_version")).rowcount == 1


def test_version_row_is_changed(proven_clean: None, postgres_engine: Engine, postgres_url: URL) -> None:
    """The row says that the schema is an old one, and Optuna believes it."""
    with postgres_engine.begin() as connection:
        assert connection.execute(text("UPDATE alembic_version SET version_num = 'v2.6.0.a'")).rowcount == 1

    with open_storage(postgres_url, skip_compatibility_check=True) as storage:
        assert storage.get_current_version() != storage.get_head_version()


def test_schema_is_the_newest_again(storage: RDBStorage) -> None:
    """Optuna accepts the schema of which another test said that it is an old one."""
    assert storage.get_current_version() == storage.get_head_version()
    optuna.create_study(storage=storage, study_name="after")


def test_loggers_are_left_alone(apply_migrations: Workspace, loggers: dict[str, Loggers]) -> None:
    """The logging configuration of Optuna's env.py reached no logger of this process."""
    before, after = loggers["before"], loggers["after"]
    assert before["application"] == (False, logging.DEBUG, 0)
    assert {name: after[name] for name in before} == before


def test_loggers_were_in_danger() -> None:
    """The configuration that env.py applies disables the application's loggers in a process that it does reach."""
    script = (
        "import logging, logging.config, sys; logger = logging.getLogger('application');"
        "logging.config.fileConfig(sys.argv[1]); print(logger.disabled)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(optuna_config())], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "True"
