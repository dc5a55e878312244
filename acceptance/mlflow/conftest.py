"""The project: MLflow's store on a database that MLflow's own command made; pytest.ini has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.engine import URL

pytest_plugins = ["dumps"]


@pytest.fixture
def store(proven_clean: None, postgres_url: URL, tmp_path: Path) -> Iterator[SqlAlchemyStore]:
    """MLflow's store with connections of its own. It adds the default experiment to a database that has none."""
    url = postgres_url.set(drivername="postgresql").render_as_string(hide_password=False)
    store = SqlAlchemyStore(url, tmp_path.as_uri())
    yield store
    store.engine.dispose()
