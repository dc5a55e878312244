r"""The database refuses transitions that the state machines do not have.

One function serves both tables; the legal moves are the arguments of each trigger, where `\d runs` shows them.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

FUNCTION = """
CREATE FUNCTION refuse_illegal_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- OLD is null on INSERT, and format() writes a null as nothing.
    move text := format('%s>%s', OLD.status, NEW.status);
BEGIN
    IF NEW.status IS DISTINCT FROM OLD.status AND NOT move = ANY (TG_ARGV) THEN
        RAISE EXCEPTION 'illegal transition % of % %', move, TG_TABLE_NAME, NEW.id
            USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END
$$
"""

RUN_MOVES = (
    ">pending",
    "pending>running",
    "pending>cancelled",
    "running>succeeded",
    "running>failed",
    "running>cancelled",
    "failed>pending",
)
STEP_MOVES = (
    ">pending",
    "pending>ready",
    "pending>cancelled",
    "ready>running",
    "ready>cancelled",
    "running>ready",
    "running>succeeded",
    "running>failed",
    "running>cancelled",
    "failed>ready",
)


def _create_trigger(table: str, moves: tuple[str, ...]) -> None:
    arguments = ", ".join(f"'{move}'" for move in moves)
    op.execute(
        f"CREATE TRIGGER {table}_legal_transition BEFORE INSERT OR UPDATE OF status ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION refuse_illegal_transition({arguments})"
    )


def upgrade() -> None:
    """Create the function and a trigger for each table."""
    op.execute(FUNCTION)
    _create_trigger("runs", RUN_MOVES)
    _create_trigger("steps", STEP_MOVES)


def downgrade() -> None:
    """Leave the transitions to Python alone."""
    op.execute("DROP TRIGGER runs_legal_transition ON runs")
    op.execute("DROP TRIGGER steps_legal_transition ON steps")
    op.execute("DROP FUNCTION refuse_illegal_transition")
