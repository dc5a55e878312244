"""The migrations make what the models say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Engine, create_engine, inspect, text
from sqlalchemy.pool import NullPool

from backend.models import Base
from backend.steps import HANDLERS

from .helpers import query

ALEMBIC_INI = Path(__file__).parents[2] / "alembic.ini"


@pytest.fixture
def empty_database(postgres_engine: Engine, postgres_url: URL) -> Iterator[Engine]:
    """Give an engine on a database of its own, which no migration has seen."""
    name = f"{postgres_url.database}_empty"
    with postgres_engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE template0'))
        try:
            yield create_engine(postgres_url.set(database=name), poolclass=NullPool)
        finally:
            connection.execute(text(f'DROP DATABASE "{name}"'))


def test_models_and_migrations_agree(postgres_engine: Engine) -> None:
    """Alembic would not generate anything from the models."""
    with postgres_engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, _: kind != "table" or "procrastinate" not in name},
        )
        assert compare_metadata(context, Base.metadata) == []


def test_every_kind_has_a_handler(postgres_engine: Engine) -> None:
    """The registry table and the workers know the same kinds."""
    assert {name for (name,) in query(postgres_engine, "SELECT name FROM step_kinds")} == set(HANDLERS)


def test_history_goes_up_and_down(empty_database: Engine) -> None:
    """Every revision can be undone: down at the bottom nothing is left, and the way up works again."""
    config = Config(ALEMBIC_INI)
    with empty_database.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        head = inspect(connection).get_table_names()
        connection.commit()
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
        left = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        assert connection.execute(text(left)).all() == []
        left = "SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'c')"
        assert connection.execute(text(left)).scalars().all() == ["alembic_version"]
        connection.commit()
        command.upgrade(config, "head")
        assert sorted(inspect(connection).get_table_names()) == sorted(head)
