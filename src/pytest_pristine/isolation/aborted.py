"""Telling that all that was written was rolled back: then nothing can be different but where sequences stand."""

from __future__ import annotations

from pytest_pristine.isolation.changes import Mark, Moment
from pytest_pristine.postgres.connections import Connection

# Transactions up to which each is asked for: beyond that it takes as long as asking the tables.
_MOST = 500

_QUERY = """
    SELECT bool_and(pg_xact_status(xid::text::xid8) = 'aborted') FROM generate_series(%s::bigint, %s::bigint) AS xid
    WHERE xid <> ALL (%s::bigint[])
"""


def is_all(connection: Connection, since: Mark, until: Moment) -> bool:
    """Whether every transaction between two moments was rolled back, or is our own; none is open.

    Args:
        connection: To any database of the cluster.
        since: The earlier moment.
        until: The later one.
    """
    if not since.is_told or since.open or until.open or until.snapshot.following - since.following > _MOST:
        return False
    own = [*since.own, *until.own]
    row = connection.execute(_QUERY, [since.following, until.snapshot.following - 1, own], prepare=True).fetchone()
    # None is asked for where there are none but ours.
    return row is not None and row[0] is not False
