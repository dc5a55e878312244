"""The project: Optuna's own history, found in the installed package."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from optuna.storages import RDBStorage
from sqlalchemy.engine import URL

from pytest_pristine import Alembic, PostgresServer, Workspace

pytest_plugins = ["dumps"]

# Of each logger: whether it is disabled, its level, how many handlers it has.
Loggers = dict[str, tuple[bool, int, int]]


def optuna_config() -> Path:
    """The alembic.ini that the package ships."""
    spec = importlib.util.find_spec("optuna.storages._rdb")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "alembic.ini"


@contextmanager
def open_storage(url: URL, *, skip_compatibility_check: bool = False) -> Iterator[RDBStorage]:
    """Optuna's storage, which has connections of its own and no way to end them."""
    storage = RDBStorage(url.render_as_string(hide_password=False), skip_compatibility_check=skip_compatibility_check)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def loggers_now() -> Loggers:
    """The state of all loggers of this process."""
    loggers = {"root": logging.root, **logging.root.manager.loggerDict}
    return {
        name: (logger.disabled, logger.level, len(logger.handlers))
        for name, logger in loggers.items()
        if isinstance(logger, logging.Logger)
    }


@pytest.fixture(scope="session")
def loggers() -> dict[str, Loggers]:
    """The loggers before and after the migrations, the application's among them; filled by `apply_migrations`."""
    logging.getLogger("application").setLevel(logging.DEBUG)
    return {}


@contextmanager
def unconfigured_logging() -> Iterator[None]:
    """Take pytest's handlers off the root logger: Optuna's env.py leaves the logging alone where it finds some."""
    handlers = logging.root.handlers[:]
    logging.root.handlers.clear()
    try:
        yield
    finally:
        logging.root.handlers[:] = handlers


@pytest.fixture(scope="session")
def apply_migrations(postgres_server: PostgresServer, loggers: dict[str, Loggers]) -> Iterator[Workspace]:
    """Optuna's history, and the row that Optuna adds when it first sees a database: every test may rely on it."""
    with ExitStack() as stack:
        with unconfigured_logging():
            loggers["before"] = loggers_now()
            history = Alembic(config=optuna_config())
            database = stack.enter_context(postgres_server.migrated_database(history))
            loggers["after"] = loggers_now()
        with open_storage(database.url):
            pass
        yield database
