"""Databases as wholes: listed, made, marked, sealed, exchanged and dropped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import errors, sql

from pytest_pristine.errors import NoRoomError
from pytest_pristine.postgres import holders, marks, sessions
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.marks import Mark

# Seconds to wait for a lock on a database.
_PATIENCE = 10


@dataclass(frozen=True, slots=True)
class Database:
    """A database that carries our mark.

    Attributes:
        oid: Its oid, which tells it from another of the same name.
        name: Its name.
        mark: What its COMMENT says.
        sealed: It is a template that nobody can connect to.
        sessions: How many sessions are connected to it.
    """

    oid: int
    name: str
    mark: Mark
    sealed: bool
    sessions: int


_OURS = """
    SELECT d.oid, d.datname, shobj_description(d.oid, 'pg_database'), d.datistemplate AND NOT d.datallowconn,
           (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid)
    FROM pg_database d
    WHERE shobj_description(d.oid, 'pg_database') LIKE 'pytest-pristine: %%'
      AND (%(name)s::text IS NULL OR d.datname = %(name)s)
    ORDER BY d.oid
"""


def ours(connection: Connection) -> Iterator[Database]:
    """All databases of the server that carry our mark, oldest first."""
    return _select(connection, None)


def find(connection: Connection, name: str) -> Database | None:
    """The database of that name, if it is there and carries our mark."""
    return next(_select(connection, name), None)


def oid(connection: Connection, name: str) -> int | None:
    """The oid of the database of that name, whoever's it is; None when there is none."""
    row = connection.execute("SELECT oid FROM pg_database WHERE datname = %s", [name]).fetchone()
    return None if row is None else int(str(row[0]))


def size(connection: Connection, oid: int) -> int:
    """The bytes that a database takes; 0 when there is none of that oid any more."""
    query = "SELECT coalesce(pg_database_size(oid), 0) FROM pg_database WHERE oid = %s"
    row = connection.execute(query, [oid]).fetchone()
    return 0 if row is None else int(str(row[0]))


def _select(connection: Connection, name: str | None) -> Iterator[Database]:
    for oid, datname, comment, sealed, count in connection.execute(_OURS, {"name": name}).fetchall():
        mark = marks.read(str(comment))
        if mark is not None:
            yield Database(int(str(oid)), str(datname), mark, bool(sealed), int(str(count)))


def create(connection: Connection, name: str, mark: Mark, template: str = "template0", like: str | None = None) -> None:
    """Make a database and mark it.

    Both statements are sent at once: a server finishes the first also when the run that sent it was killed meanwhile,
    and nobody could tell then whose the database is.

    Args:
        connection: To any database of the server.
        name: The new database.
        mark: Its mark.
        template: What it is a copy of. Nobody may be connected to it.
        like: A database whose encoding and locale it gets; only with template0, else they are the template's.

    Raises:
        NoRoomError: The server's disk is full.
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    options = locale(connection, like) if like is not None or template != "template0" else _text(connection)
    statement += _strategy(connection) + _as_sql(options)
    # The server writes down at once that there is the database. Its mark is to outlive a crash just the same.
    connection.execute("SET synchronous_commit TO on")
    try:
        with connection.pipeline():
            connection.execute(statement)
            set_mark(connection, name, mark)
    except errors.DiskFull as error:
        raise NoRoomError(
            f"to make the database {name!r}, a copy of {template!r}",
            str(error).strip().splitlines()[0],
            ["free some space where the server has its data: pristine status, pristine prune --all"],
        ) from None


# `server_version_num` of the first version in which CREATE DATABASE knows STRATEGY.
_FIRST_WITH_STRATEGIES = 150000


def _strategy(connection: Connection) -> sql.Composable:
    """Without fsync copying files is the faster way, with it writing WAL is; before version 15 there is no choice."""
    if connection.info.server_version < _FIRST_WITH_STRATEGIES:
        return sql.SQL("")
    fsync = connection.execute("SHOW fsync").fetchone() == ("on",)
    return sql.SQL(" STRATEGY WAL_LOG" if fsync else " STRATEGY FILE_COPY")


# How the columns of pg_database are called in CREATE DATABASE, in the versions that have them. They are read through
# JSON because the set differs by version.
_LOCALE_OPTIONS = {
    "datcollate": "LC_COLLATE",
    "datctype": "LC_CTYPE",
    "daticulocale": "ICU_LOCALE",
    "daticurules": "ICU_RULES",
}
_PROVIDERS = {"b": "builtin", "c": "libc", "i": "icu"}
_PROVIDER_LOCALES = {"b": "BUILTIN_LOCALE", "i": "ICU_LOCALE"}


def locale(connection: Connection, name: str | None) -> dict[str, str]:
    """Encoding and locale of a database as options of CREATE DATABASE; nothing when there is none of that name."""
    row = connection.execute(
        "SELECT to_jsonb(d), pg_encoding_to_char(d.encoding) FROM pg_database d WHERE d.datname = %s", [name]
    ).fetchone()
    if row is None:
        return {}
    columns: dict[str, str | None] = row[0]  # type: ignore[assignment] # a JSON object
    options = {"ENCODING": str(row[1])}
    options |= {option: value for column, option in _LOCALE_OPTIONS.items() if (value := columns.get(column))}
    provider = columns.get("datlocprovider")
    if provider is not None:
        options["LOCALE_PROVIDER"] = _PROVIDERS[provider]
        # One column holds the name for every provider since version 17.
        if (value := columns.get("datlocale")) and provider in _PROVIDER_LOCALES:
            options[_PROVIDER_LOCALES[provider]] = value
    return options


def _text(connection: Connection) -> dict[str, str]:
    """The server's own encoding, unless it has none: of what it stores then, drivers make bytes and no text."""
    return {"ENCODING": "UTF8"} if locale(connection, "template0").get("ENCODING") == "SQL_ASCII" else {}


def _as_sql(options: Mapping[str, str]) -> sql.Composable:
    return sql.SQL("").join(
        sql.SQL(" {} {}").format(sql.SQL(key), sql.Literal(value)) for key, value in options.items()
    )


def set_mark(connection: Connection, name: str, mark: Mark) -> None:
    """Write the mark into the database's COMMENT."""
    connection.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(str(mark))))


def rename(connection: Connection, old: str, new: str) -> None:
    """Rename a database to which nobody is connected."""
    connection.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(old), sql.Identifier(new)))


def seal(connection: Connection, name: str) -> None:
    """Make a database a template that nobody can connect to, and so nobody can change."""
    connection.execute(
        sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false").format(sql.Identifier(name))
    )


def allow_connections(connection: Connection, name: str, *, allow: bool) -> None:
    """Let clients connect to a database, or nobody any more. Who is connected stays."""
    statement = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
    connection.execute(statement.format(sql.Identifier(name), sql.Literal(allow)))


def allows_connections(connection: Connection, name: str) -> bool:
    """Whether clients may connect to the database of that name."""
    query = "SELECT datallowconn FROM pg_database WHERE datname = %s"
    return connection.execute(query, [name]).fetchone() == (True,)


def drop(connection: Connection, name: str) -> None:
    """Drop a database that carries our mark, sealed or not, and end the sessions in it.

    The mark is read on the connection that destroys, right before it does. What is prepared in it is rolled back, and
    its subscriptions go with it.

    Raises:
        LookupError: It is not there, or carries no mark of ours.
        PrivilegeError: A transaction that is prepared in it, or a subscription, is another role's.
        psycopg.Error: It cannot be dropped for another reason.
    """
    database = find(connection, name)
    if database is None:
        raise LookupError(f"no database {name!r} of ours")
    # DROP ends sessions when it has its lock, for which one of them may keep it waiting.
    sessions.end(connection, name)
    with patience(connection):
        if database.sealed:
            connection.execute(sql.SQL("ALTER DATABASE {} WITH IS_TEMPLATE false").format(sql.Identifier(name)))
        statement = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        try:
            connection.execute(statement)
        except errors.ObjectInUse:
            # It is rare, and not worth a question each time.
            if not holders.is_held(connection, name):
                raise
            _let_go(connection, database)
            connection.execute(statement)


def _let_go(connection: Connection, database: Database) -> None:
    """Let a database be dropped, from within it: also one that nobody can connect to."""
    closed = not allows_connections(connection, database.name)
    if closed:
        allow_connections(connection, database.name, allow=True)
    try:
        holders.let_go(connection, database.name)
    except BaseException:
        if closed and not connection.closed:
            allow_connections(connection, database.name, allow=False)
        raise


@contextmanager
def patience(connection: Connection) -> Iterator[None]:
    """Wait a while and not for ever for whoever has a transaction open that did something to a database."""
    before = connection.execute("SHOW lock_timeout").fetchone()
    connection.execute("SELECT set_config('lock_timeout', %s, false)", [f"{_PATIENCE}s"])
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("SELECT set_config('lock_timeout', %s, false)", before)


def exchange(connection: Connection, name: str, mark: Mark, new: str, aside: str, aside_mark: Mark) -> bool:
    """Put the database `new` in the place of `name`, which is kept as `aside`, both with new marks; all or nothing.

    Returns:
        Whether it was done: False when somebody is connected to `name`, or what bears that name now is not ours.
    """
    try:
        with connection.transaction():
            rename(connection, name, aside)
            if find(connection, aside) is None:
                raise psycopg.Rollback
            set_mark(connection, aside, aside_mark)
            rename(connection, new, name)
            set_mark(connection, name, mark)
    except errors.ObjectInUse:
        return False
    return find(connection, aside) is not None
