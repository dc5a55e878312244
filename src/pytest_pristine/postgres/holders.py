"""What keeps a database from being dropped and ends with no session: prepared transactions and subscriptions.

Both can be let go from within that database alone. A replication slot needs nothing: once the session that reads it is
ended, the server drops it with its database.
"""

from __future__ import annotations

from psycopg import errors, sql

from pytest_pristine.errors import PrivilegeError
from pytest_pristine.postgres import connections, sessions
from pytest_pristine.postgres.connections import Connection

_HELD = """
    SELECT EXISTS (SELECT FROM pg_prepared_xacts WHERE database = %(name)s)
           OR EXISTS (SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = %(name)s)
"""

# Subscriptions belong to the whole cluster; each works in one database.
_SUBSCRIPTIONS = """
    SELECT subname, pg_get_userbyid(subowner)::text FROM pg_subscription
    WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY subname
"""

# With its slot given up a subscription asks its publisher for nothing but to forget tables that it has not copied yet,
# and takes an answer for granted. From nowhere it comes at once.
_NOWHERE = "host=/nonexistent port=1 password=none"


def is_held(connection: Connection, name: str) -> bool:
    """Whether there is anything in a database that keeps it, besides sessions."""
    return connection.execute(_HELD, {"name": name}).fetchone() == (True,)


def let_go(connection: Connection, name: str) -> None:
    """Roll back what is prepared in a database that is about to be dropped, and drop its subscriptions.

    The slots that these have at their publishers stay: the publisher may be anybody's, and gone.

    Args:
        connection: To another database of the server, as the role that does it.
        name: The database. It accepts connections.

    Raises:
        PrivilegeError: One of them is another role's.
        UnreachableError: The database cannot be connected to.
    """
    with connections.connect(connections.url_of(connection, name), "let go") as inside:
        sessions.roll_back_prepared(inside)
        for subscription, role in inside.execute(_SUBSCRIPTIONS).fetchall():
            _drop(inside, str(subscription), str(role))


def _drop(connection: Connection, subscription: str, role: str) -> None:
    named = sql.Identifier(subscription)
    statements = (
        sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(named),
        sql.SQL("ALTER SUBSCRIPTION {} SET (slot_name = NONE)").format(named),
        sql.SQL("ALTER SUBSCRIPTION {} CONNECTION {}").format(named, sql.Literal(_NOWHERE)),
        sql.SQL("DROP SUBSCRIPTION {}").format(named),
    )
    try:
        for statement in statements:
            connection.execute(statement)
    except errors.InsufficientPrivilege as error:
        database = connection.info.dbname
        shown = "; ".join(each.as_string(None) for each in (*statements[:2], statements[-1]))
        raise PrivilegeError(
            f"to drop the subscription {subscription!r} in the database {database!r}",
            f"it belongs to the role {role!r}, and ours is {connection.info.user!r}: {str(error).strip()}",
            [f"as that role or a superuser, connected to {database}: {shown}"],
        ) from None
