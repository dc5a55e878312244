"""The schema `public`: every database has one from the start, and tests may grant, comment on it or drop it."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import errors, sql

from pytest_pristine.postgres import grants
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.grants import Grant

_NAME = "public"
_SCHEMA = sql.Identifier(_NAME)

# `server_version_num` of the first version in which whoever owns the database owns the schema, and is alone with it.
_FIRST_OF_THE_OWNER = 150000

_COMMENT = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'public'"


@dataclass(frozen=True, slots=True)
class PublicSchema:
    """The schema `public` as it was at a moment.

    Attributes:
        owner: Its owner; None for whoever makes it.
        comment: Its comment.
        grants: Who may do what in it.
    """

    owner: str | None
    comment: str | None
    grants: frozenset[Grant]


def read(connection: Connection) -> PublicSchema:
    """The schema as it is; where there is none, as initdb makes it."""
    owner = grants.owner(connection, grants.SCHEMA, _NAME)
    if owner is None:
        return _initial(connection)
    row = connection.execute(_COMMENT).fetchone()
    comment = None if row is None or row[0] is None else str(row[0])
    return PublicSchema(owner, comment, grants.read(connection, grants.SCHEMA, _NAME))


def _initial(connection: Connection) -> PublicSchema:
    owners = connection.info.server_version >= _FIRST_OF_THE_OWNER
    usage, create = Grant(grants.PUBLIC, "", "USAGE"), Grant(grants.PUBLIC, "", "CREATE")
    own = {Grant(grants.OWNER, "", privilege) for privilege in ("USAGE", "CREATE")}
    return PublicSchema(
        "pg_database_owner" if owners else None,
        "standard public schema",
        frozenset(own | ({usage} if owners else {usage, create})),
    )


def put_back(connection: Connection, wanted: PublicSchema) -> None:
    """Make the schema what it was, or make one. What is as it was already is not touched, nor is what is in it.

    Raises:
        psycopg.errors.InsufficientPrivilege: There is none, and our role may make none.
    """
    if grants.owner(connection, grants.SCHEMA, _NAME) is None:
        connection.execute(sql.SQL("CREATE SCHEMA {}").format(_SCHEMA))
    if wanted.owner not in (None, grants.owner(connection, grants.SCHEMA, _NAME)):
        _give(connection, str(wanted.owner))
    if connection.execute(_COMMENT).fetchone() != (wanted.comment,):
        statement = sql.SQL("COMMENT ON SCHEMA {} IS {}")
        connection.execute(statement.format(_SCHEMA, sql.Literal(wanted.comment)))
    grants.apply(connection, grants.SCHEMA, _NAME, wanted.grants)


def _give(connection: Connection, owner: str) -> None:
    try:
        connection.execute(sql.SQL("ALTER SCHEMA {} OWNER TO {}").format(_SCHEMA, sql.Identifier(owner)))
    except errors.InsufficientPrivilege:
        # It was somebody else's, a test dropped it, and only they could have it back. It is usable all the same.
        return
