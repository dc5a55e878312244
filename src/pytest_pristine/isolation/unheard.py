"""Statements of ours on a connection of SQLAlchemy's, past all who listen to it. Drivers have no more in common."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection


def run(connection: Connection, statement: str) -> None:
    """Run a statement that has no parameters and no percent sign.

    Raises:
        Exception: The driver's own error.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement)
    finally:
        cursor.close()


def rows(connection: Connection, query: str) -> Sequence[Sequence[object]]:
    """The rows that a query gives.

    Raises:
        Exception: The driver's own error.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.execute(query)
        return cursor.fetchall()
    finally:
        cursor.close()


def ask(connection: Connection, query: str) -> object:
    """The value that a query gives in its one row.

    Raises:
        Exception: The driver's own error.
    """
    return rows(connection, query)[0][0]


def roll_back(connection: Connection) -> None:
    """Roll back whatever transaction the driver is in."""
    connection.connection.rollback()
