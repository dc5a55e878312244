"""Procrastinate's schema.

The SQL comes from the installed package, so the revision holds the schema version it was written for. A release that
changes the schema stops here, and is adopted with a new revision that applies the package's own migration files.
"""

from pathlib import Path

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0003"
down_revision = "0002"

# Procrastinate 3.10 still has the schema of 3.4.
LAST_MIGRATION = "03.04.00_50_post_add_retry_failed_job_procedure.sql"

DROP_FUNCTIONS = r"""
DO $$
DECLARE
    routine regprocedure;
BEGIN
    FOR routine IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'procrastinate\_%'
    LOOP
        EXECUTE format('DROP FUNCTION %s', routine);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    """Install the schema, if it is the one this history was tested with."""
    found = max(file.name for file in Path(SchemaManager.get_migrations_path()).glob("*.sql"))
    if found != LAST_MIGRATION:
        raise RuntimeError(f"Procrastinate's schema is at {found}, this revision installs {LAST_MIGRATION}")
    # Without parameters the percent signs of its PL/pgSQL stay as they are.
    op.get_bind().exec_driver_sql(SchemaManager.get_schema(), execution_options={"no_parameters": True})


def downgrade() -> None:
    """Drop the tables first, so that no trigger holds a function."""
    for table in ("events", "periodic_defers", "jobs", "workers"):
        op.execute(f"DROP TABLE procrastinate_{table} CASCADE")
    op.get_bind().exec_driver_sql(DROP_FUNCTIONS, execution_options={"no_parameters": True})
    for name in ("job_to_defer_v1", "job_event_type", "job_status"):
        op.execute(f"DROP TYPE procrastinate_{name}")
