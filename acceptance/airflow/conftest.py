"""The project: Airflow's own history, found in the installed package, and Airflow's own sessions on its result."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy.engine import URL
from sqlalchemy.orm import Session

from pytest_pristine import Alembic, PostgresServer, Workspace

pytest_plugins = ["dumps"]

_CONNECTION = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
_ASYNC_CONNECTION = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"


def pytest_configure(config: pytest.Config) -> None:
    """Give Airflow a home that ends with the run: it writes its configuration and logs there when it is imported."""
    home = tempfile.TemporaryDirectory(prefix="airflow-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    os.environ["AIRFLOW_HOME"] = home.name


@pytest.fixture(scope="session")
def apply_migrations(postgres_server: PostgresServer) -> Iterator[Workspace]:
    """Airflow's history: its settings are told where the database is, and that there is no asynchronous driver."""
    spec = importlib.util.find_spec("airflow")
    assert spec is not None
    assert spec.origin is not None
    history = Alembic(
        config=Path(spec.origin).parent / "alembic.ini",
        # Revision 686269002441 writes a text into an integer column. psycopg2 lets the server convert it; with psycopg,
        # SQLAlchemy says that it is a text, and the server refuses.
        driver="psycopg2",
        environment={_CONNECTION: "{url}", _ASYNC_CONNECTION: ""},
    )
    with postgres_server.migrated_database(history) as database:
        yield database


@pytest.fixture(scope="session")
def airflow_session(postgres_url: URL) -> Iterator[Callable[[], AbstractContextManager[Session]]]:
    """Airflow's `create_session`. Airflow reads its settings when it is imported: not before they name the database."""
    os.environ[_CONNECTION] = postgres_url.render_as_string(hide_password=False)
    os.environ[_ASYNC_CONNECTION] = ""
    from airflow import settings
    from airflow.utils.session import create_session

    yield create_session
    settings.dispose_orm(do_log=False)
