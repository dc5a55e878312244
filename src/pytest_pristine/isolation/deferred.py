"""Constraints that are checked at the end of a transaction, where a savepoint stands for one."""

from __future__ import annotations

import enum

from sqlalchemy import Connection

from pytest_pristine.isolation import unheard

_CHECK = "SET CONSTRAINTS ALL IMMEDIATE"
# Every transaction begins with the constraints deferred that were made so. Those of other sessions' temporary tables,
# and in schemas that are closed to the role, cannot be named.
_DEFER = """
    DO $$ DECLARE names text; BEGIN
        SELECT string_agg(DISTINCT quote_ident(n.nspname) || '.' || quote_ident(c.conname), ', ') INTO names
        FROM pg_constraint c JOIN pg_namespace n ON n.oid = c.connamespace
        WHERE c.condeferred AND has_schema_privilege(n.oid, 'USAGE') AND NOT pg_is_other_temp_schema(n.oid);
        IF names IS NOT NULL THEN EXECUTE 'SET CONSTRAINTS ' || names || ' DEFERRED'; END IF;
    END $$
"""
_SAVEPOINT = "pristine_check"


class Deferral(enum.Enum):
    """What there is of constraints that can be deferred; the values are those of `QUERY`."""

    NONE = "none"
    NAMED = "named"
    # SET CONSTRAINTS takes all constraints of a name, and fails when one of them cannot be deferred.
    NAMELESS = "nameless"


# An expression of SQL for what there is. In most databases it is over with the first part.
QUERY = """
    CASE WHEN NOT EXISTS (SELECT FROM pg_constraint WHERE condeferrable) THEN 'none'
         WHEN EXISTS (SELECT FROM pg_constraint c JOIN pg_constraint o USING (connamespace, conname)
                      WHERE c.condeferred AND NOT o.condeferrable) THEN 'nameless'
         ELSE 'named' END
"""


def check(connection: Connection) -> None:
    """Check them. They stay immediate.

    Raises:
        DBAPIError: One is violated, or nothing can be asked in this transaction.
    """
    connection.exec_driver_sql(_CHECK)


def check_as_commit_does(connection: Connection, deferral: Deferral) -> None:
    """Check them, and have them deferred again, as in the next transaction.

    Where they cannot be named they are checked as well, but what deferred triggers wrote is undone, and they run again
    at the next check.

    Raises:
        DBAPIError: One is violated. What follows has to roll back to a savepoint from before.
    """
    if deferral is Deferral.NONE:
        return
    if deferral is Deferral.NAMED:
        check(connection)
        unheard.run(connection, _DEFER)
        return
    unheard.run(connection, f"SAVEPOINT {_SAVEPOINT}")
    check(connection)
    # That also gives the constraints the modes that they had.
    unheard.run(connection, f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}")
    unheard.run(connection, f"RELEASE SAVEPOINT {_SAVEPOINT}")
