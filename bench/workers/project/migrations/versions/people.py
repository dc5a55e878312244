"""Customers, and nine tables that each belong to the one made before."""

import sqlalchemy as sa
from alembic import op

revision = "people"
down_revision = None

FURTHER = (
    "addresses", "contracts", "contacts", "notes", "sessions", "devices", "preferences", "invitations", "audits",
)  # fmt: skip


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "customers",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        sa.Column("profile", sa.JSON, nullable=False, server_default="{}"),
    )
    parent = "customers"
    for name in FURTHER:
        op.create_table(
            name,
            sa.Column("id", sa.BigInteger, primary_key=True),
            sa.Column(f"{parent}_id", sa.BigInteger, sa.ForeignKey(f"{parent}.id"), index=True),
            sa.Column("label", sa.Text, nullable=False, unique=True),
            sa.Column("made", sa.DateTime(timezone=True), server_default=sa.func.now(), index=True),
        )
        parent = name
