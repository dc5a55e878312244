"""What is logged of a restore: readers verify by it that tables were emptied."""

from __future__ import annotations

import logging

import pytest

from tests.isolation.conftest import MakePlace

SHOP = """
    CREATE SCHEMA stock;
    CREATE TABLE users (name text);
    CREATE TABLE orders (id int);
    CREATE TABLE stock.items (id int);
    CREATE TABLE colours (name text);
    INSERT INTO colours VALUES ('red'), ('blue');
    CREATE SEQUENCE numbers;
    CREATE MATERIALIZED VIEW total AS SELECT count(*) FROM orders;
"""


def test_rows_and_others_are_listed(place: MakePlace, caplog: pytest.LogCaptureFixture) -> None:
    """Each table is named with its rows, one of them in the singular; sequences and views follow."""
    made = place(SHOP)
    isolation = made.isolation()
    made.run(
        "INSERT INTO orders VALUES (1), (2), (3)",
        "INSERT INTO users VALUES ('ada')",
        "INSERT INTO stock.items VALUES (1), (2)",
        "SELECT nextval('numbers')",
        "REFRESH MATERIALIZED VIEW total",
    )
    with caplog.at_level(logging.DEBUG, "pytest_pristine"):
        isolation.restore()
    assert caplog.record_tuples == [(
        "pytest_pristine", logging.INFO,
        "put back users 1 row, orders 3 rows, stock.items 2 rows, materialized view total, sequence numbers",
    )]  # fmt: skip


@pytest.mark.parametrize(
    "change",
    ["DELETE FROM colours", "INSERT INTO colours VALUES ('x')", "UPDATE colours SET name = 'x'"],
)
def test_rows_of_the_baseline_are_counted(place: MakePlace, caplog: pytest.LogCaptureFixture, change: str) -> None:
    """A table that has rows in the baseline is named with a number that a reader can make sense of."""
    made = place(SHOP)
    isolation = made.isolation()
    made.run(change)
    with caplog.at_level(logging.DEBUG, "pytest_pristine"):
        isolation.restore()
    (record,) = caplog.records
    assert record.getMessage() in [f"put back colours {rows}" for rows in ("1 row", "2 rows", "all rows")]


def test_nothing_to_put_back(one_place: MakePlace, caplog: pytest.LogCaptureFixture) -> None:
    """A restore of a pristine database is logged for those who debug alone."""
    isolation = one_place(SHOP).isolation()
    with caplog.at_level(logging.DEBUG, "pytest_pristine"):
        isolation.restore()
    assert caplog.record_tuples == [("pytest_pristine", logging.DEBUG, "nothing to put back")]
