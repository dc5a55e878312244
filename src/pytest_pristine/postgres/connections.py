"""Connections of our own, and why one could not be had."""

from __future__ import annotations

import contextlib
import selectors
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import psycopg
from psycopg import pq, sql
from psycopg.conninfo import make_conninfo
from psycopg.pq import Ping
from sqlalchemy.engine import URL

from pytest_pristine import clock
from pytest_pristine.errors import (
    AuthenticationError,
    NotAPostgresUrlError,
    RefusedError,
    ServerError,
    UnknownDatabaseError,
    UnreachableError,
)
from pytest_pristine.postgres import urls

Connection: TypeAlias = psycopg.Connection[tuple[object, ...]]

# Seconds to wait for a server that does not answer at all; one that is up answers in milliseconds.
CONNECT_TIMEOUT = 5

# Databases that every cluster has, unless somebody removed them.
MAINTENANCE_DATABASES = ("postgres", "template1")

# A machine that is cut off is noticed by the other side after half a minute, and its locks are free; without that it
# takes two hours. In seconds, but for the last, which is in milliseconds, for what was sent and not received.
KEEPALIVE = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
# The same for the server, which has names of its own for them.
SERVER_KEEPALIVE = {name if name.startswith("tcp_") else f"tcp_{name}": str(value) for name, value in KEEPALIVE.items()}

# Settings of the database or the role that are meant for the application, and would end our sessions or our waiting,
# each with the first version of the server that has it.
_NEUTRAL = {
    "lock_timeout": (0, "0"),
    "idle_in_transaction_session_timeout": (0, "0"),
    "idle_session_timeout": (140000, "0"),
    "transaction_timeout": (170000, "0"),
    "default_transaction_read_only": (0, "off"),
}


_NO_TIMEOUT = "SET statement_timeout TO 0"
# How often a session is opened whose first statement the timeout of the database or the role ends.
_ATTEMPTS = 5


def connect(url: URL, purpose: str) -> Connection:
    """Open a connection in autocommit mode.

    Args:
        url: Where to.
        purpose: What it is for; people see it in pg_stat_activity as `pristine: <purpose>`.

    Raises:
        UnreachableError: There is no connection to be had. psycopg's own error must not pass: a traceback of it shows
            the arguments, the password among them.
    """
    try:
        return _open(url, purpose)
    except psycopg.OperationalError as error:
        said = urls.redact(str(error).strip(), url)
    raise UnreachableError(f"a connection to {urls.show(url)} ({purpose})", said, ["see the server's log"])


def url_of(connection: Connection, database: str) -> URL:
    """The URL of another database of the server that a connection is to, for the same role, password included."""
    info = connection.info
    named = {name: value for name, value in info.get_parameters().items() if name not in ("user", "dbname")}
    return URL.create(
        "postgresql+psycopg", username=info.user, password=info.password or None, database=database, query=named
    )


def _open(url: URL, purpose: str) -> Connection:
    connection = _without_timeout(url, purpose)
    try:
        connection.execute(_settings(connection))
    except BaseException:
        connection.close()
        raise
    return connection


def _without_timeout(url: URL, purpose: str) -> Connection:
    # By itself, and first: anything else may take longer than some timeouts leave. On a busy machine even this may.
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(psycopg.errors.QueryCanceled):
            return bare(url, purpose, first=_NO_TIMEOUT)
    return bare(url, purpose, first=_NO_TIMEOUT)


def make_ours(connection: Connection) -> None:
    """Have a session disregard what the database or the role sets for the application. It is known to be ours alone."""
    connection.execute(_NO_TIMEOUT)
    connection.execute(_settings(connection))


def _settings(connection: Connection) -> sql.Composed:
    """The statement that makes a session ours. To look for the names in pg_settings would take two milliseconds."""
    version = connection.info.server_version
    wanted = {name: value for name, (since, value) in _NEUTRAL.items() if version >= since}
    if not connection.info.host.startswith(("/", "@")):
        wanted |= SERVER_KEEPALIVE
    each = sql.SQL("set_config({}, {}, false)")
    return sql.SQL("SELECT ") + sql.SQL(", ").join(
        each.format(sql.Literal(name), sql.Literal(value)) for name, value in wanted.items()
    )


def bare(url: URL, purpose: str, first: str = "SELECT 1") -> Connection:
    """Open a connection and change nothing in its session, which may turn out not to be ours.

    Args:
        url: Where to.
        purpose: What it is for; see `connect`.
        first: What is asked first.

    Raises:
        psycopg.OperationalError: There is no connection to be had, or nothing answers on it.
    """
    # Without an encoding of its own a database would have the driver give bytes for text.
    named = {"application_name": f"pristine: {purpose}", "client_encoding": "UTF8"}
    arguments = {"connect_timeout": CONNECT_TIMEOUT} | KEEPALIVE | urls.conninfo(url) | named
    connection = psycopg.connect(**arguments, autocommit=True)  # type: ignore[arg-type]
    try:
        _ask_first(connection.pgconn, first, float(arguments["connect_timeout"]) or CONNECT_TIMEOUT)
    except BaseException:
        connection.close()
        raise
    return connection


def _ask_first(pgconn: pq.abc.PGconn, query: str, seconds: float) -> None:
    """Ask something and wait for the answer no longer than for a connection.

    A pooler that has no session left accepts a client nevertheless, and lets it wait.
    """
    pgconn.send_query(query.encode())
    end = clock.now() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(pgconn.socket, selectors.EVENT_READ)
        while pgconn.is_busy():
            if not selector.select(max(end - clock.now(), 0)):
                raise psycopg.errors.ConnectionTimeout(f"connected, and no answer within {seconds:g} s")
            pgconn.consume_input()
    while (result := pgconn.get_result()) is not None:
        if result.status == pq.ExecStatus.FATAL_ERROR:
            raise psycopg.errors.error_from_result(result)


@contextmanager
def whole(sought: str, url: URL) -> Iterator[None]:
    """Something that takes one connection from its beginning to its end, because of the locks that it holds.

    Raises:
        UnreachableError: The connection ended meanwhile.
    """
    try:
        yield
    except psycopg.OperationalError as error:
        # With a code it is the server's word, and about something else.
        if error.sqlstate is not None:
            raise
        raise UnreachableError(
            f"{sought} on {urls.show(url)}",
            f"a connection that ended meanwhile: {str(error).strip().splitlines()[0]}",
            ["run the tests again; what cuts idle connections on the way must wait longer than migrations take"],
        ) from None


def answers(url: URL) -> bool:
    """Whether a connection can be had."""
    try:
        _open(url, "probe").close()
    except psycopg.OperationalError:
        return False
    return True


def connect_or_explain(url: URL, purpose: str, origin: str) -> Connection:
    """Open a connection to a database that the user named, and change nothing in its session.

    Args:
        url: Where to.
        purpose: What it is for.
        origin: Which setting named it, for the message.

    Raises:
        NotAPostgresUrlError: The URL has a parameter that libpq does not take.
        TlsError: The encryption that the URL asks for cannot be had.
        UnreachableError: Nothing answers.
        UnknownDatabaseError: The server has no such database.
        AuthenticationError: It rejects the user or the password.
        RefusedError: It refuses for another reason, which the message quotes.
    """
    sought = f"the Postgres at {urls.show(url)} (from {origin})"
    try:
        return bare(url, purpose)
    except psycopg.ProgrammingError as error:
        said = urls.redact(str(error).strip(), url)
        raise NotAPostgresUrlError(sought, said, [f"correct the parameters of the URL in {origin}"]) from None
    except psycopg.OperationalError as error:
        raise _explain(url, sought, origin, error) from None


def _explain(url: URL, sought: str, origin: str, error: psycopg.OperationalError) -> ServerError:
    """Tell the cause by what works, never by the words of the message: they are in the server's language."""
    said = urls.redact(str(error).strip(), url)
    if _ping(url) not in (Ping.OK, Ping.REJECT) or isinstance(error, psycopg.errors.ConnectionTimeout):
        from pytest_pristine.postgres import unanswered  # rarely needed

        why = unanswered.explain(url, sought, origin, error)
        if why is not None:
            return why
    names = _databases(url)
    if names is None and _UNKNOWN_TO_POOLER in said:
        found = f"a connection pooler that lets us into no database {url.database!r}, nor into another: {said}"
        return UnknownDatabaseError(sought, found, ["have it pass all names on: * = host=… in [databases]"])
    if names is None and error.pgconn is not None and (error.pgconn.used_password or error.pgconn.needs_password):
        found = f"a server that rejects the user {url.username!r} or the password: {said}"
        return AuthenticationError(sought, found, [f"correct the user and the password in {origin}"])
    if names is not None and str(url.database) not in names:
        open_ = ", ".join(name for name, allows_connections in names.items() if allows_connections)
        found = f"the server, but no database {url.database!r} on it (it has: {open_})"
        return UnknownDatabaseError(sought, found, [_createdb(url)])
    return RefusedError(sought, f"a server that refuses the connection: {said}", ["mend what it says"])


# What PgBouncer says of a name that it does not know, in the one language that it has.
_UNKNOWN_TO_POOLER = "no such database"


def _ping(url: URL) -> int:
    arguments = {"connect_timeout": CONNECT_TIMEOUT} | urls.conninfo(url)
    return pq.PGconn.ping(make_conninfo(**arguments).encode())  # type: ignore[arg-type] # as for `connect`


def _databases(url: URL) -> dict[str, bool] | None:
    """The server's databases, each with whether it can be connected to; None when none lets us in."""
    for name in MAINTENANCE_DATABASES:
        if name == url.database:
            continue
        try:
            with _open(url.set(database=name), "explain") as connection:
                rows = connection.execute("SELECT datname, datallowconn FROM pg_database ORDER BY datname")
                return {str(name): bool(allows) for name, allows in rows}
        except psycopg.OperationalError:
            continue
    return None


def _createdb(url: URL) -> str:
    statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(str(url.database))).as_string(None)
    # Without its password, for which psql asks.
    bare = urls.show(url.set(database="postgres", password=None))
    return f"psql \"{bare}\" -c '{statement}'"
