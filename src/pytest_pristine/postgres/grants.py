"""Grants on a database or a schema: read, and brought back to what they were."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass

from psycopg import errors, sql

from pytest_pristine.postgres.connections import Connection

_log = logging.getLogger("pytest_pristine")

# Who is granted something. The owner stands for whoever owns the thing now: a copy may belong to somebody else.
OWNER = "owner"
PUBLIC = "public"
ROLE = "role"

DATABASE = "DATABASE"
SCHEMA = "SCHEMA"

# A thing nobody granted anything on has no list: what holds then is what the server takes for it.
_QUERIES = {
    DATABASE: """
        SELECT CASE a.grantee WHEN d.datdba THEN 'owner' WHEN 0 THEN 'public' ELSE 'role' END,
               pg_get_userbyid(a.grantee), a.privilege_type, a.is_grantable
        FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
        WHERE d.datname = %s
    """,
    SCHEMA: """
        SELECT CASE a.grantee WHEN n.nspowner THEN 'owner' WHEN 0 THEN 'public' ELSE 'role' END,
               pg_get_userbyid(a.grantee), a.privilege_type, a.is_grantable
        FROM pg_namespace n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) a
        WHERE n.nspname = %s
    """,
}
_OWNERS = {
    DATABASE: "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s",
    SCHEMA: "SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = %s",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """One privilege of one grantee.

    Attributes:
        to: `owner`, `public` or `role`.
        role: The name of a role; empty for the others.
        privilege: `CONNECT`, `USAGE`.
        grantable: The grantee may pass it on.
    """

    to: str
    role: str
    privilege: str
    grantable: bool = False


def read(connection: Connection, kind: str, name: str) -> frozenset[Grant]:
    """All grants on a database or a schema of that name, those that hold by default among them."""
    rows = connection.execute(_QUERIES[kind], [name]).fetchall()
    return frozenset(
        Grant(str(to), str(role) if to == ROLE else "", str(privilege), bool(grantable))
        for to, role, privilege, grantable in rows
    )


def owner(connection: Connection, kind: str, name: str) -> str | None:
    """Who owns a database or a schema; None when there is none of that name."""
    row = connection.execute(_OWNERS[kind], [name]).fetchone()
    return None if row is None else str(row[0])


def apply(connection: Connection, kind: str, name: str, wanted: frozenset[Grant]) -> None:
    """Bring the grants to what is wanted, in one transaction; nothing is executed where they are.

    What is not our role's to change stays as it is, and is logged.
    """
    found = read(connection, kind, name)
    if found == wanted:
        return
    with suppress(errors.InsufficientPrivilege):
        _replace(connection, kind, name, found, wanted)
    # Where our role has some privilege on it but no right to grant any, the server warns and does nothing.
    if read(connection, kind, name) != wanted:
        _log.warning("the grants on the %s %s are not ours to change", kind.lower(), name)


def _replace(connection: Connection, kind: str, name: str, found: frozenset[Grant], wanted: frozenset[Grant]) -> None:
    thing = sql.SQL("{} {}").format(sql.SQL(kind), sql.Identifier(name))
    holder = str(owner(connection, kind, name))
    with connection.transaction():
        for to, role in {(grant.to, grant.role) for grant in found}:
            revoke = sql.SQL("REVOKE ALL ON {} FROM {} CASCADE")
            connection.execute(revoke.format(thing, _grantee(to, role, holder)))
        for grant in sorted(wanted, key=lambda each: (each.to, each.role, each.privilege)):
            give = sql.SQL("GRANT {} ON {} TO {}").format(
                sql.SQL(grant.privilege), thing, _grantee(grant.to, grant.role, holder)
            )
            connection.execute(give + sql.SQL(" WITH GRANT OPTION" if grant.grantable else ""))


def _grantee(to: str, role: str, holder: str) -> sql.Composable:
    if to == PUBLIC:
        return sql.SQL("PUBLIC")
    return sql.Identifier(holder if to == OWNER else role)
