"""One live run for each idempotency key."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Build the index without locking out the writers of a table in use."""
    with op.get_context().autocommit_block():
        op.create_index(
            "runs_live_key_idx",
            "runs",
            ["key"],
            unique=True,
            postgresql_where=sa.text("status <> 'cancelled'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    """Drop the index, as gently."""
    with op.get_context().autocommit_block():
        op.drop_index("runs_live_key_idx", "runs", postgresql_concurrently=True)
