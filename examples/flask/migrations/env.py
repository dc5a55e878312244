"""Migrate the database that the application's configuration names."""

from alembic import context
from flask import current_app, has_app_context
from notes import create_app

if not has_app_context():
    # Without `flask db`.
    create_app().app_context().push()

db = current_app.extensions["migrate"].db
with db.engine.connect() as connection:
    context.configure(connection=connection, target_metadata=db.metadata)
    with context.begin_transaction():
        context.run_migrations()
