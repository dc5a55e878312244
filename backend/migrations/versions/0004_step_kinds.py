"""The registry of step kinds, with the retry policy of each."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

KINDS = (
    ("echo", 3, 1, "Returns its arguments"),
    ("sum", 1, 0, "Adds the numbers of its arguments and of the steps it depends on"),
    ("sleep", 3, 1, "Waits for some seconds"),
    ("fail", 3, 0, "Raises an error"),
)


def upgrade() -> None:
    """Create and fill the table, then hold the steps to it."""
    kinds = op.create_table(
        "step_kinds",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("retry_wait_s", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="step_kinds_pkey"),
        sa.CheckConstraint("max_attempts BETWEEN 1 AND 100", name="step_kinds_max_attempts_range"),
        sa.CheckConstraint("retry_wait_s >= 0", name="step_kinds_retry_wait_not_negative"),
    )
    columns = ("name", "max_attempts", "retry_wait_s", "description")
    op.bulk_insert(kinds, [dict(zip(columns, kind, strict=True)) for kind in KINDS])
    op.create_foreign_key("steps_kind_fkey", "steps", "step_kinds", ["kind"], ["name"])


def downgrade() -> None:
    """Let any kind in again."""
    op.drop_constraint("steps_kind_fkey", "steps", type_="foreignkey")
    op.drop_table("step_kinds")
