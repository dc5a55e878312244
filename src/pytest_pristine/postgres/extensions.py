"""The extensions that a server has."""

from __future__ import annotations

from pytest_pristine.postgres.connections import Connection

# What every database has.
_EVERYWHERE = "plpgsql"


def available(connection: Connection) -> frozenset[str]:
    """The names of those that can be created on the server."""
    return frozenset(str(name) for (name,) in connection.execute("SELECT name FROM pg_available_extensions"))


def installed(connection: Connection) -> frozenset[str]:
    """The names of those that the database has, but for the one that every database has."""
    names = connection.execute("SELECT extname FROM pg_extension")
    return frozenset(str(name) for (name,) in names if name != _EVERYWHERE)
