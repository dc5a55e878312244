"""The journal of a run, announced as it is written."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"

event_type = postgresql.ENUM(
    "run_submitted",
    "run_started",
    "run_succeeded",
    "run_failed",
    "run_retried",
    "step_ready",
    "step_started",
    "step_succeeded",
    "step_retrying",
    "step_failed",
    name="run_event_type",
    create_type=False,
)

# Postgres sends notifications at commit and drops duplicates within a transaction, so a listener that reads the run
# when it is told sees everything that the notification is about.
NOTIFY = """
CREATE FUNCTION notify_run_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('run_' || NEW.run_id, NEW.type::text);
    RETURN NULL;
END
$$
"""


def upgrade() -> None:
    """Create the journal and its trigger."""
    event_type.create(op.get_bind())
    op.create_table(
        "run_events",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("step_id", sa.BigInteger(), nullable=True),
        sa.Column("type", event_type, nullable=False),
        sa.Column("detail", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.clock_timestamp(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="run_events_pkey"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="run_events_run_id_fkey", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["step_id"], ["steps.id"], name="run_events_step_id_fkey", ondelete="CASCADE"),
    )
    op.create_index("run_events_run_id_id_idx", "run_events", ["run_id", "id"])
    op.create_index("run_events_step_id_idx", "run_events", ["step_id"])
    op.execute(NOTIFY)
    op.execute(
        "CREATE TRIGGER run_events_notify AFTER INSERT ON run_events FOR EACH ROW EXECUTE FUNCTION notify_run_event()"
    )


def downgrade() -> None:
    """Drop the journal."""
    op.drop_table("run_events")
    op.execute("DROP FUNCTION notify_run_event")
    event_type.drop(op.get_bind())
