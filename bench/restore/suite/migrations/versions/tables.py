"""The schema of the benchmark."""

import os

import schema
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make as many tables as the benchmark asks for."""
    for statement in schema.ddl(int(os.environ["BENCH_TABLES"]), int(os.environ["BENCH_CHAIN"])):
        op.execute(statement.as_string(None))
