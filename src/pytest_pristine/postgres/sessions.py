"""What keeps a database busy: the sessions in it, and transactions that were prepared in it."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass

from psycopg import errors, sql
from sqlalchemy.engine import URL

from pytest_pristine import clock
from pytest_pristine.errors import PrivilegeError, RestoreError
from pytest_pristine.postgres import connections
from pytest_pristine.postgres.connections import Connection

# Seconds that a session is given to end; an idle one takes a few milliseconds.
PATIENCE = 5.0
_INTERVAL = 0.002


@dataclass(frozen=True, slots=True)
class Session:
    """A client's session.

    Attributes:
        pid: Process id of its backend.
        role: Its role.
        application: Its application_name.
    """

    pid: int
    role: str
    application: str

    def __str__(self) -> str:
        return f"pid {self.pid} of the role {self.role!r} ({self.application or 'no application name'})"


@dataclass(frozen=True, slots=True)
class Open:
    """A session that is in a database.

    Attributes:
        session: The session.
        since: When it began, in seconds since the epoch by the server's clock.
        in_transaction_since: When the transaction began that it is in, the same; None when it is in none.
        query: What it ran last.
    """

    session: Session
    since: float
    in_transaction_since: float | None
    query: str


# Those of ours tell it by their application_name.
_OPEN = """
    SELECT pid, coalesce(usename::text, ''), application_name, extract(epoch FROM backend_start)::float8,
           extract(epoch FROM xact_start)::float8, coalesce(left(query, 200), '')
    FROM pg_stat_activity
    WHERE datname = coalesce(%s::text, current_database()) AND pid <> pg_backend_pid() AND usesysid IS NOT NULL
      AND coalesce(backend_type, 'client backend') = 'client backend' AND application_name NOT LIKE 'pristine: %%'
    ORDER BY backend_start
"""


def open_in(connection: Connection, database: str | None = None) -> list[Open]:
    """The sessions of others in a database, in that connected to if none is named.

    What another role's does may be hidden.
    """
    return [
        Open(
            Session(int(str(pid)), str(role), str(application)),
            float(str(since)),
            None if begun is None else float(str(begun)),
            str(query),
        )
        for pid, role, application, since, begun, query in connection.execute(_OPEN, [database])
        if since is not None
    ]


def server_time(connection: Connection) -> float:
    """The server's time, in seconds since the epoch."""
    row = connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8").fetchone()
    return float(str(row and row[0]))


# What kind of process it is, is hidden from a role without privileges; those of the server itself have no role.
_OTHERS = """
    SELECT pid, coalesce(usename::text, ''), application_name FROM pg_stat_activity
    WHERE datname = %s AND pid <> pg_backend_pid() AND pid <> ALL(%s::int[]) AND usesysid IS NOT NULL
      AND coalesce(backend_type, 'client backend') IN ('client backend', 'walsender')
    ORDER BY pid
"""

_PREPARED = "SELECT gid, owner::text FROM pg_prepared_xacts WHERE database = %s ORDER BY prepared"


def own(connection: Connection) -> int:
    """The process id of a connection's session, by the server's word: a pooler in between tells its clients another."""
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    return int(str(row and row[0]))


def others(connection: Connection, database: str, keep: Collection[int] = ()) -> list[Session]:
    """The sessions in a database, without the one that asks and those whose process ids are to be kept."""
    rows = connection.execute(_OTHERS, [database, list(keep)]).fetchall()
    return [Session(int(str(pid)), str(role), str(application)) for pid, role, application in rows]


def end(connection: Connection, database: str, keep: Collection[int] = ()) -> list[Session]:
    """End the sessions in a database and wait until they are gone. The connection is in no transaction.

    Args:
        connection: To any database of the server.
        database: Where the sessions are.
        keep: Process ids of sessions that may stay.

    Returns:
        Those that our role may not end.

    Raises:
        RestoreError: One that we may end did not.
    """
    deadline = clock.now() + PATIENCE
    while True:
        present = others(connection, database, keep)
        refused = [session for session in present if not _end(connection, session.pid)]
        ending = [session for session in present if session not in refused]
        if not ending:
            return refused
        if clock.now() > deadline:
            raise RestoreError(
                f"to end the sessions in the database {database!r}",
                f"after {PATIENCE:g} s there is still: {listed(ending)}",
                ["end what connects to it again and again, or see the server's log"],
            )
        time.sleep(_INTERVAL)


# What another role's session does is hidden from a role without privileges, and what any does when activities are not
# tracked.
_END_IDLE = """
    SELECT pid, coalesce(usename::text, ''), application_name,
           CASE WHEN state = 'idle' THEN pg_terminate_backend(pid, %s) END
    FROM pg_stat_activity WHERE pid = ANY (%s) AND (state IN ('idle', 'disabled') OR state IS NULL)
"""


def end_idle(connection: Connection, pids: Collection[int]) -> tuple[list[Session], list[Session]]:
    """End those of some sessions that are in no transaction.

    Args:
        connection: To any database of the server.
        pids: Process ids of the sessions.

    Returns:
        The sessions that were ended, and those of which it cannot be seen whether they are in a transaction.
    """
    rows = connection.execute(_END_IDLE, [round(PATIENCE * 1000), list(pids)]).fetchall()
    found = [(Session(int(str(pid)), str(role), str(application)), done) for pid, role, application, done in rows]
    return [session for session, done in found if done], [session for session, done in found if not done]


_FORGOTTEN = """
    SELECT pid, coalesce(usename::text, ''), application_name, left(query, 300), state_change::text
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL
      AND state LIKE 'idle in transaction%'
    ORDER BY pid
"""


def forgotten(connection: Connection) -> dict[Session, tuple[str, str]]:
    """Sessions in the database connected to that wrote something, did not commit it and do nothing more.

    Returns:
        Each with its last query, and the time when that ended. Those of other roles are hidden from a role without
        privileges.
    """
    rows = connection.execute(_FORGOTTEN).fetchall()
    return {Session(int(str(pid)), str(role), str(app)): (str(query), str(at)) for pid, role, app, query, at in rows}


# What other roles' sessions do is hidden from a role without privileges, and may be anything.
_WRITTEN_TO = """
    SELECT NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
           OR EXISTS (SELECT FROM pg_stat_activity
                      WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL)
           OR EXISTS (SELECT FROM pg_prepared_xacts WHERE database = current_database())
"""


def may_be_written_to(connection: Connection) -> bool:
    """Whether a transaction may be open in the database connected to that has written something."""
    return connection.execute(_WRITTEN_TO).fetchone() != (False,)


def end_some(connection: Connection, some: Collection[Session]) -> list[Session]:
    """End sessions and wait until they are gone; gives those that are. Some may not be ours to end."""
    return [each for each in some if _end(connection, each.pid, PATIENCE)]


def listed(sessions: Collection[Session]) -> str:
    """Sessions for people, one a line."""
    return "\n".join(map(str, sessions))


def _end(connection: Connection, pid: int, patience: float = 0) -> bool:
    """Ask a session to end, and wait for it some seconds; gives whether we may, and it did."""
    query = "SELECT pg_terminate_backend(%s, %s)"
    try:
        return connection.execute(query, [pid, round(patience * 1000)]).fetchone() == (True,) or patience == 0
    except errors.InsufficientPrivilege:
        return False


def roll_back_prepared_in(connection: Connection, url: URL) -> bool:
    """Roll back the transactions that are prepared in the database at `url`.

    Returns:
        Whether there were any.

    Raises:
        PrivilegeError: One is another role's.
    """
    if connection.execute(_PREPARED, [url.database]).fetchone() is None:
        return False
    with connections.connect(url, "roll back") as inside:
        roll_back_prepared(inside)
    return True


def roll_back_prepared(connection: Connection) -> list[str]:
    """Roll back the transactions that are prepared in the database connected to: it can be done from nowhere else.

    Returns:
        Their names.

    Raises:
        PrivilegeError: One is another role's.
    """
    database = connection.info.dbname
    prepared = connection.execute(_PREPARED, [database]).fetchall()
    for gid, role in prepared:
        try:
            connection.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(str(gid))))
        except errors.InsufficientPrivilege:
            statement = sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(str(gid))).as_string(None)
            raise PrivilegeError(
                f"to roll back the transaction {str(gid)!r} that is prepared in the database {database!r}",
                f"it belongs to the role {str(role)!r}, and ours is {connection.info.user!r}",
                [f"as that role or a superuser, connected to {database}: {statement}"],
            ) from None
    return [str(gid) for gid, _ in prepared]


def of_clients(connection: Connection) -> list[str]:
    """The other clients of the server, each by application, process and database, for people."""
    rows = connection.execute(
        "SELECT coalesce(nullif(application_name, ''), 'a client'), pid, datname FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() ORDER BY pid"
    )
    return [f"{application} (pid {pid}, database {database})" for application, pid, database in rows]
