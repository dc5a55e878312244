"""Who keeps a restore waiting."""

from __future__ import annotations

from pytest_pristine.errors import RestoreBlockedError
from pytest_pristine.postgres.connections import Connection

# Sessions with a transaction open in this database. One that has ended its transaction holds no lock of a table.
_QUERY = """
    SELECT pid, application_name, state, extract(epoch FROM now() - xact_start)::numeric(12, 1), left(query, 300)
    FROM pg_stat_activity
    WHERE datid = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type = 'client backend'
    ORDER BY xact_start
"""


def explain(connection: Connection, waited: float) -> RestoreBlockedError:
    """The error for a restore that waited in vain.

    Args:
        connection: The one that waited.
        waited: For how many seconds.
    """
    sessions = [
        f"pid {pid} ({application or 'no application name'}), {state}, its transaction {age} s old, last query: {query}"
        for pid, application, state, age, query in connection.execute(_QUERY)
    ]
    return RestoreBlockedError(
        f"to put the database back, for {waited:g} s",
        "a lock held by another session: " + ("\n".join(sessions) or "it has ended meanwhile"),
        ["close the connection, or end its transaction, in the test or fixture that opened it"],
    )
