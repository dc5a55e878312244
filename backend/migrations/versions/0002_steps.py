"""Steps and what they wait for."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"

step_status = postgresql.ENUM(
    "pending", "ready", "running", "succeeded", "failed", name="step_status", create_type=False
)


def upgrade() -> None:
    """Create the graph's nodes and edges."""
    step_status.create(op.get_bind())
    op.create_table(
        "steps",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("args", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("status", step_status, server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("result", postgresql.JSONB(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="steps_pkey"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="steps_run_id_fkey", ondelete="CASCADE"),
        sa.UniqueConstraint("run_id", "name", name="steps_run_id_name_key"),
        sa.UniqueConstraint("run_id", "id", name="steps_run_id_id_key"),
        sa.CheckConstraint("max_attempts BETWEEN 1 AND 100", name="steps_max_attempts_range"),
        sa.CheckConstraint("attempts BETWEEN 0 AND max_attempts", name="steps_attempts_within_limit"),
        sa.CheckConstraint("status NOT IN ('ready', 'running') OR job_id IS NOT NULL", name="steps_active_has_job"),
        sa.CheckConstraint("status = 'succeeded' OR result IS NULL", name="steps_result_only_of_success"),
        sa.CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name="steps_error_only_of_failure"),
    )
    op.create_table(
        "step_dependencies",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("step_id", sa.BigInteger(), nullable=False),
        sa.Column("depends_on_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("step_id", "depends_on_id", name="step_dependencies_pkey"),
        sa.ForeignKeyConstraint(
            ["run_id", "step_id"],
            ["steps.run_id", "steps.id"],
            name="step_dependencies_run_id_step_id_fkey",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "depends_on_id"],
            ["steps.run_id", "steps.id"],
            name="step_dependencies_run_id_depends_on_id_fkey",
            ondelete="CASCADE",
        ),
        sa.CheckConstraint("step_id <> depends_on_id", name="step_dependencies_not_on_itself"),
    )
    op.create_index("step_dependencies_depends_on_id_idx", "step_dependencies", ["depends_on_id"])


def downgrade() -> None:
    """Drop both tables and the type."""
    op.drop_table("step_dependencies")
    op.drop_table("steps")
    step_status.drop(op.get_bind())
