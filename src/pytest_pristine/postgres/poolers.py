"""Connection poolers, such as PgBouncer, between us and a server: told by what they do, not by their name.

A run holds locks, settings, prepared statements and temporary functions in its sessions, so each connection must have a
session of its own as long as it lives. And it works in databases that it makes beside the one that was named.
"""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
from psycopg import errors
from sqlalchemy.engine import URL

from pytest_pristine.errors import PoolerError
from pytest_pristine.postgres import connections, sessions, urls
from pytest_pristine.postgres.connections import Connection

# Sessions that a run takes at once in one database: one of ours, and two of the tests.
LEAST = 3
# How often each of two connections is asked in a row which session it has. Where several are free, a pooler may lend
# them in turn: two that ask in turn as well would be lent the same ones again and again.
_TURNS = (2, 3, 4)
# Milliseconds that a session is given to end.
_PATIENCE = 5000


@dataclass(frozen=True, slots=True)
class _Session:
    """What a server says of a session. Behind a pooler there may be several servers, which count alike."""

    pid: int
    start: str
    server: str
    database: str
    role: str


_SESSION = """
    SELECT pid, backend_start::text, pg_postmaster_start_time()::text || coalesce(host(inet_server_addr()), ''),
           current_database()::text, session_user::text
    FROM pg_stat_activity WHERE pid = pg_backend_pid()
"""


def check(connection: Connection, url: URL, origin: str) -> None:
    """Refuse a pooler that a run cannot work through. Where there is none, this is one query.

    Args:
        connection: To the database that the user named, as it was opened, without settings of ours: one that is lent
            for a transaction is somebody else's the next moment.
        url: The database.
        origin: Which setting named it, for the message.

    Raises:
        PoolerError: There is a pooler that will not do. Nothing was changed.
    """
    # Who connects is told a process id. A pooler makes one up: it has no process for each client.
    if sessions.own(connection) == connection.info.backend_pid:
        return
    refusal = _Refusal(url, origin)
    try:
        _check_names(_ask(connection), refusal)
        _check_sessions(connection, refusal)
        _check_other_databases(connection, refusal)
    except psycopg.OperationalError as error:
        raise refusal(
            "a session that lasts as long as its connection", f"one that ended: {urls.redact(str(error).strip(), url)}"
        ) from None


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Makes the error: where the pooler is, and the way that always helps."""

    url: URL
    origin: str

    def __call__(self, sought: str, found: str, *remedies: str) -> PoolerError:
        return PoolerError(
            f"{sought}, at {urls.show(self.url)} (from {self.origin})",
            f"a connection pooler in between, and {found}. Nothing was touched",
            [f"name the server itself in {self.origin}, and not the pooler", *remedies],
        )


def _ask(connection: Connection) -> _Session:
    row = connection.execute(_SESSION, prepare=False).fetchone()
    if row is None:
        raise LookupError("our own session is not in pg_stat_activity")
    pid, *texts = row
    return _Session(int(str(pid)), *map(str, texts))


def _check_names(session: _Session, refusal: _Refusal) -> None:
    """The pooler may have names of its own for databases and log in as another role: ours would mean something else."""
    url = refusal.url
    if session.database != url.database:
        raise refusal(
            f"the database {url.database!r}",
            f"{url.database!r} is its name for the database {session.database!r}",
            f"or name {session.database!r} in the URL, and have the pooler pass names on: * = host=… in [databases]",
        )
    if url.username is not None and session.role != url.username:
        raise refusal(
            f"a session as the role {url.username!r}",
            f"it logs in as {session.role!r}",
            f"or name {session.role!r} in the URL, or remove user= from the pooler's [databases]",
        )


def _check_sessions(first: Connection, refusal: _Refusal) -> None:
    """Have as many connections as a run has at least, each with a session of its own."""
    with ExitStack() as stack:
        others: list[Connection] = []
        for number in range(2, LEAST + 1):
            try:
                others.append(stack.enter_context(connections.bare(refusal.url, "pooler")))
            except errors.ConnectionTimeout as error:
                raise refusal(
                    f"{LEAST} sessions at once in the database {refusal.url.database!r}",
                    f"connection {number} has none: {error}",
                    "or let it have more: default_pool_size in pgbouncer.ini, one more for each worker than its tests "
                    "use at once",
                ) from None
            # Two tell whether sessions are kept. Where they are not, more would only take more of others' sessions.
            if len(others) == 1:
                _check_kept(first, others[0], refusal)
        for connection in others:
            _end(connection)


def _check_kept(one: Connection, another: Connection, refusal: _Refusal) -> None:
    """Each of two connections has one session all the time, and not the other's; both are on one server."""
    seen: tuple[set[_Session], set[_Session]] = (set(), set())
    for often in _TURNS:
        for connection, known in zip((one, another), seen, strict=True):
            known.update(_ask(connection) for _ in range(often))
    if any(len(known) > 1 for known in seen) or seen[0] & seen[1]:
        raise refusal(
            "a session of its own for each connection",
            "it lends sessions for one transaction or one statement at a time: locks, settings, prepared statements "
            "and temporary functions of a run would be lost, or be in the way of others",
            "or have it keep sessions: pool_mode = session in pgbouncer.ini",
        )
    if len({session.server for known in seen for session in known}) > 1:
        raise refusal("one server", "there are several behind it, each with databases of its own")


# Of the databases that every cluster has, those that the role may connect to; none where it works in place.
_BESIDE = """
    SELECT datname::text FROM pg_database
    WHERE datname = ANY (%s) AND datname <> current_database() AND datallowconn
      AND has_database_privilege(oid, 'CONNECT')
      AND (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user)
    ORDER BY datname
"""


def _check_other_databases(connection: Connection, refusal: _Refusal) -> None:
    """A run makes databases, and must be able to reach them. That it can is told by those that are there."""
    for (name,) in connection.execute(_BESIDE, [list(connections.MAINTENANCE_DATABASES)]).fetchall():
        try:
            with connections.bare(refusal.url.set(database=str(name)), "pooler") as other:
                _end(other)
        except psycopg.OperationalError as error:
            raise refusal(
                "every database of the server, also those that a run makes",
                f"it does not let us into {name!r}, which the server would: {_said(error, refusal.url)}",
                "or have it pass all names on: * = host=… in [databases] of pgbouncer.ini",
            ) from None


def _said(error: psycopg.Error, url: URL) -> str:
    return urls.redact(str(error).strip().splitlines()[-1], url)


def _end(connection: Connection) -> None:
    """End a session for good. The pooler would keep it, and the database could not be copied, renamed or dropped."""
    with contextlib.suppress(errors.AdminShutdown):
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")


# What a pooler has a session do when its client has gone, and which nobody has used since.
_PARKED = """
    SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity
    WHERE datname = %s AND pid <> pg_backend_pid() AND pg_backend_pid() <> %s AND usename = current_user
      AND state IN ('idle', 'active') AND upper(rtrim(query, '; ')) = 'DISCARD ALL'
"""


def end_parked(connection: Connection, database: str) -> None:
    """End the sessions that a pooler keeps in a database after their clients have gone; none where there is no pooler.

    To the server they look like somebody who is connected.
    """
    connection.execute(_PARKED, [_PATIENCE, database, connection.info.backend_pid]).fetchall()
