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
           coalesce(string_agg(DISTINCT c.oid::regclass::text, ', '), 'what it made')
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    LEFT JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'm', 'S')
         AND c.relnamespace <> 'pg_toast'::regnamespace
    WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.granted AND l.pid <> pg_backend_pid() AND l.locktype = 'relation'
      AND (l.relation = ANY (%(oids)s) AND (%(readers)s OR l.mode <> 'AccessShareLock')
           OR l.pid = ANY (%(pids)s) AND l.mode NOT IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
              AND c.relpersistence <> 't')
    GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 5 DESC NULLS LAST
"""


def explain(
    connection: Connection,
    waited: float,
    relations: Sequence[Relation] = (),
    *,
    readers: bool = False,
    pids: Sequence[int] = (),
) -> RestoreBlockedError:
    """The error for a restore that waited in vain.

    Args:
        connection: The one that waited.
        waited: For how many seconds.
        relations: Those it would restore.
        readers: Whether a session that only reads them stands in the way.
        pids: Sessions that stand in the way of whoever comes next.
    """
    parameters = {"oids": [relation.oid for relation in relations], "readers": readers, "pids": list(pids)}
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
