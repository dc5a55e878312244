"""Orders and what belongs to them, and a table of countries that comes with its rows."""

import sqlalchemy as sa
from alembic import op

revision = "trade"
down_revision = "people"

FURTHER = ("shipments", "parcels", "invoices", "payments", "refunds", "returns", "complaints")


def upgrade() -> None:
    """Make them."""
    countries = op.create_table("countries", sa.Column("code", sa.Text, primary_key=True))
    op.bulk_insert(countries, [{"code": f"{first}{second}"} for first in "ABCDEFGHIJ" for second in "KLMNO"])
    op.create_table(
        "orders",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("customer_id", sa.BigInteger, sa.ForeignKey("customers.id"), nullable=False, index=True),
        sa.Column("country", sa.Text, sa.ForeignKey("countries.code"), nullable=False),
    )
    op.create_table(
        "items",
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("order_id", sa.BigInteger, sa.ForeignKey("orders.id"), nullable=False, index=True),
        sa.Column("article", sa.Text, nullable=False),
        sa.Column("price", sa.Numeric(10, 2), nullable=False),
    )
    for name in FURTHER:
        op.create_table(
            name,
            sa.Column("id", sa.BigInteger, primary_key=True),
            sa.Column("order_id", sa.BigInteger, sa.ForeignKey("orders.id"), index=True),
            sa.Column("label", sa.Text, nullable=False, unique=True),
        )
