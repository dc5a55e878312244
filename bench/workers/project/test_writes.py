"""What tests of an application do: commit some rows, and look at them again. It takes a few milliseconds."""

import uuid

from sqlalchemy import Engine, bindparam, text

CUSTOMER = text("INSERT INTO customers (email) VALUES (:email) RETURNING id")
ORDER = text("INSERT INTO orders (customer_id, country) VALUES (:customer, :country) RETURNING id")
ITEM = text("INSERT INTO items (order_id, article, price) VALUES (:order, :article, :price)")
BILL = text(
    "SELECT o.id, count(*), sum(i.price) FROM orders o JOIN items i ON i.order_id = o.id "
    "WHERE o.customer_id = :customer GROUP BY o.id ORDER BY o.id"
)
ARTICLES = text("SELECT article FROM items WHERE order_id IN :orders ORDER BY id").bindparams(
    bindparam("orders", expanding=True)
)


def test_order(database: Engine, number: int) -> None:
    """A customer who ordered twice is billed for both orders."""
    with database.begin() as connection:
        customer = connection.execute(CUSTOMER, {"email": f"{uuid.uuid4()}@example.org"}).scalar_one()
        orders = [
            connection.execute(ORDER, {"customer": customer, "country": country}).scalar_one()
            for country in ("AK", "BL")
        ]
        for order in orders:
            for price in (1, 2):
                connection.execute(ITEM, {"order": order, "article": f"article {price}", "price": price})
    with database.connect() as connection:
        bill = connection.execute(BILL, {"customer": customer}).all()
        articles = connection.execute(ARTICLES, {"orders": orders}).scalars().all()
    assert [tuple(row) for row in bill] == [(order, 2, 3) for order in orders]
    assert articles == ["article 1", "article 2"] * 2, number


def test_withdrawal(database: Engine, number: int) -> None:
    """An order that is withdrawn leaves the customer without any."""
    with database.begin() as connection:
        customer = connection.execute(CUSTOMER, {"email": f"{uuid.uuid4()}@example.org"}).scalar_one()
        order = connection.execute(ORDER, {"customer": customer, "country": "CM"}).scalar_one()
    with database.begin() as connection:
        connection.execute(text("DELETE FROM orders WHERE id = :order"), {"order": order})
        connection.execute(
            text("UPDATE customers SET profile = '{\"withdrew\": true}' WHERE id = :id"), {"id": customer}
        )
    with database.connect() as connection:
        assert connection.execute(BILL, {"customer": customer}).all() == [], number
