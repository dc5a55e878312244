"""Users, their invoices, and a table that no test cleans."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.execute("CREATE SCHEMA billing")
    op.create_table("users", sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True))
    op.create_table("invoices", sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True), schema="billing")
    op.create_table("visits", sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True))


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("visits")
    op.execute("DROP SCHEMA billing CASCADE")
    op.drop_table("users")
