"""Migrate the database that the application's settings name."""

from alembic import context
from bank.models import Base
from bank.settings import settings
from sqlalchemy import create_engine, pool

engine = create_engine(str(settings.database_url), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        context.run_migrations()
