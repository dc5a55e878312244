"""Orders, the countries they go to, and a log of what happened."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table("countries", sa.Column("code", sa.Text, primary_key=True))
    op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("country", sa.Text, sa.ForeignKey("countries.code"), nullable=False),
    )
    op.create_table("audit_log", sa.Column("what", sa.Text, nullable=False))


def downgrade() -> None:
    """Drop the tables."""
    for table in ("audit_log", "orders", "countries"):
        op.drop_table(table)
