"""The extensions that a server has."""

from __future__ import annotations

from pytest_pristine.postgres.connections import Connection


def available(connection: Connection) -> frozenset[str]:
    """The names of those that can be created on the server."""
    return frozenset(str(name) for (name,) in connection.execute("SELECT name FROM pg_available_extensions"))
