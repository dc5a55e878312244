"""Runs can be cancelled."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the labels outside a transaction: one that adds a label cannot use it, and the next revision does."""
    with op.get_context().autocommit_block():
        op.execute("ALTER TYPE run_status ADD VALUE IF NOT EXISTS 'cancelled'")
        op.execute("ALTER TYPE step_status ADD VALUE IF NOT EXISTS 'cancelled'")
        op.execute("ALTER TYPE run_event_type ADD VALUE IF NOT EXISTS 'run_cancelled' AFTER 'run_retried'")


def downgrade() -> None:
    """Delete what only these labels can describe. The labels stay, for Postgres cannot drop them."""
    op.execute("DELETE FROM runs WHERE status = 'cancelled'")
