"""The session that restores: settings that hold for all restores, whatever the database or a test says."""

from __future__ import annotations

from psycopg import sql

from pytest_pristine.postgres.capabilities import Capabilities
from pytest_pristine.postgres.connections import Connection

# Milliseconds that Postgres can wait for a lock at most.
_LONGEST_TIMEOUT = 2**31 - 1
# The first major version in which event triggers can be switched off for a session.
_FIRST_WITH_EVENT_TRIGGERS_OFF = 17
_FIRST_WITH_TRANSACTION_TIMEOUT = 17

_TEXTS = ("TimeZone", "search_path", "lc_monetary", "bytea_output", "xmlbinary", "quote_all_identifiers")


def texts(connection: Connection) -> dict[str, str]:
    """The settings that decide how values are written as text, and how queries of the application read them."""
    query = sql.SQL(", ").join(sql.SQL("current_setting({})").format(sql.Literal(name)) for name in _TEXTS)
    row = connection.execute(sql.SQL("SELECT ") + query).fetchone()
    return dict(zip(_TEXTS, map(str, row or ()), strict=True))


def prepare(
    connection: Connection, can: Capabilities, timeout: float, kept: dict[str, str], *, uncounted: bool = False
) -> None:
    """Set what holds for all restores once: changing the replication role empties the connection's plan cache.

    Args:
        connection: The session.
        can: What the server offers to our role.
        timeout: Seconds to wait for a lock.
        kept: Settings that decide how values are written as text.
        uncounted: The server is to count nothing that the session does, as far as the role may say so.
    """
    settings = {
        "lock_timeout": f"{min(max(round(timeout * 1000), 1), _LONGEST_TIMEOUT)}ms",  # 0 would be for ever
        # The database may have settings of its own, meant for the application.
        "statement_timeout": "0",
        "idle_session_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        "default_transaction_isolation": "read committed",
        "default_transaction_read_only": "off",
        "row_security": "off",
        # What is lost in a crash is made anew.
        "synchronous_commit": "off",
        # Rows are kept as text, which must say all there is to say about a value.
        "client_encoding": "UTF8",
        "extra_float_digits": "3",
        "datestyle": "ISO",
        "intervalstyle": "postgres",
        "array_nulls": "on",
        "xmloption": "content",
        # A probe names hundreds of relations and takes less time than compiling it would.
        "jit": "off",
        "plan_cache_mode": "force_generic_plan",
    }
    if can.replica:
        settings["session_replication_role"] = "replica"
    if can.superuser and can.major >= _FIRST_WITH_EVENT_TRIGGERS_OFF:
        # One of the application's would note that we switch triggers off and on.
        settings["event_triggers"] = "off"
    if can.major >= _FIRST_WITH_TRANSACTION_TIMEOUT:
        settings["transaction_timeout"] = "0"
    if uncounted and can.superuser:
        # What the tests do is counted, for schema coverage, and what we do is not.
        settings |= {"track_counts": "off", "track_functions": "none"}
    with connection.pipeline():
        for name, value in settings.items():
            connection.execute(sql.SQL("SET {} TO {}").format(sql.Identifier(name), sql.Literal(value)))
        for name, value in kept.items():
            # The value of search_path is a list, which SET would take for one name.
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
