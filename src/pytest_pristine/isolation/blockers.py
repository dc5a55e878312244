"""Who keeps a restore waiting."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pristine.errors import RestoreBlockedError
from pytest_pristine.isolation.catalogue import Relation
from pytest_pristine.postgres.connections import Connection

# Sessions that hold a lock on one of the tables. Reading takes the weakest, which stands in the way of nothing but a
# TRUNCATE. What another role's session does is hidden from a role without privileges, that it holds a lock is not.
_QUERY = """
    SELECT a.pid, coalesce(a.usename::text, ''), a.application_name, coalesce(a.state, 'state hidden'),
           round(extract(epoch FROM clock_timestamp() - a.xact_start)::numeric, 1), left(a.query, 300),
           string_agg(DISTINCT l.relation::regclass::text, ', ')
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.granted AND l.pid <> pg_backend_pid() AND l.relation = ANY(%(oids)s)
      AND (%(readers)s OR l.mode <> 'AccessShareLock')
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 5 DESC NULLS LAST
"""


def explain(
    connection: Connection, relations: Sequence[Relation], waited: float, *, readers: bool
) -> RestoreBlockedError:
    """The error for a restore that waited in vain.

    Args:
        connection: The one that waited.
        relations: Those it would restore.
        waited: For how many seconds.
        readers: Whether a session that only reads stands in the way.
    """
    parameters = {"oids": [relation.oid for relation in relations], "readers": readers}
    sessions = [
        f"pid {pid} ({application or 'no application name'}), {state}, role {role}, its transaction {age} s old, "
        f"locks on {tables}, last query: {query}"
        for pid, role, application, state, age, query, tables in connection.execute(_QUERY, parameters)
    ]
    return RestoreBlockedError(
        f"to put the database back, for {waited:g} s",
        "a lock held by another session: " + ("\n".join(sessions) or "it has ended meanwhile"),
        ["close the connection, or end its transaction, in the test or fixture that opened it"],
    )
