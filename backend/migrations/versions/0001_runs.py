"""Runs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

run_status = postgresql.ENUM("pending", "running", "succeeded", "failed", name="run_status", create_type=False)


def upgrade() -> None:
    """Create the table of runs."""
    run_status.create(op.get_bind())
    op.create_table(
        "runs",
        sa.Column("id", sa.Uuid(), server_default=sa.func.gen_random_uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.Column("status", run_status, server_default="pending", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="runs_pkey"),
        sa.CheckConstraint("key <> ''", name="runs_key_not_empty"),
        sa.CheckConstraint("jsonb_typeof(document) = 'object'", name="runs_document_is_object"),
        sa.CheckConstraint(
            "(finished_at IS NULL) = (status IN ('pending', 'running'))",
            name="runs_finished_at_matches_status",
        ),
    )


def downgrade() -> None:
    """Drop the table and its type."""
    op.drop_table("runs")
    run_status.drop(op.get_bind())
