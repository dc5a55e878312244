"""How Alembic reaches the database: a given connection, a given URL, or `DATABASE_URL`."""

import logging.config

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, create_engine, make_url
from sqlalchemy.pool import NullPool

from backend.database import database_url, psycopg_url
from backend.models import Base


def include_name(name: str | None, type_: str, _parents: object) -> bool:
    """Keep Procrastinate's tables out of the comparison with the models."""
    return type_ != "table" or not str(name).startswith("procrastinate_")


def migrate(connection: Connection) -> None:
    """Run the revisions, each in its own transaction, because some of them need an autocommit block."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_name=include_name,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def connect_and_migrate() -> None:
    """Migrate over a connection of our own, as the command line does."""
    config = context.config
    if config.config_file_name:
        logging.config.fileConfig(config.config_file_name, disable_existing_loggers=False)
    configured = config.get_main_option("sqlalchemy.url")
    url = psycopg_url(make_url(configured)) if configured else database_url()
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        migrate(connection)


if context.is_offline_mode():
    raise CommandError("These revisions look at the database, so there is no --sql mode.")

if (given := context.config.attributes.get("connection")) is not None:
    migrate(given)
else:
    connect_and_migrate()
