"""Migrate the database that Alembic is given."""

from alembic import context
from sqlalchemy import create_engine, pool


def migrate() -> None:
    """Use the connection that the tests give, else the URL that the command line gives."""
    connection = context.config.attributes.get("connection")
    if connection is None:
        engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
        connection = engine.connect()
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


migrate()
