"""The database that the user named by URL."""

from __future__ import annotations

import contextlib

from sqlalchemy.engine import URL

from pytest_pristine.errors import RefusedError, ServerError
from pytest_pristine.postgres import connections, lapsed
from pytest_pristine.postgres.connections import Connection


def connect(url: URL, purpose: str, origin: str) -> Connection:
    """Connect to it, or say why that cannot be.

    A run that was killed while it made the database anew has left it closed: it is opened again.

    Raises:
        ServerError: There is no connection to be had; see `connections.connect_or_explain`.
    """
    try:
        return connections.connect_or_explain(url, purpose, origin)
    except RefusedError:
        if not _is_opened_again(url):
            raise
    return connections.connect_or_explain(url, purpose, origin)


def _is_opened_again(url: URL) -> bool:
    for name in connections.MAINTENANCE_DATABASES:
        with contextlib.suppress(ServerError), connections.connect(url.set(database=name), "open") as connection:
            return lapsed.open_again(connection, str(url.database))
    return False
