"""Emptying a database from within, as a role that may not drop it and make it anew.

`DROP OWNED` would do it in one statement, and would take the role's own privileges on the database and on the schema
`public` as well: nobody but a superuser could give them back. So everything is dropped by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import errors, sql

from pytest_pristine.errors import PrivilegeError, RestoreBlockedError
from pytest_pristine.postgres import contents, public_schema, sessions
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.public_schema import PublicSchema

# Seconds to wait for a lock that a session of somebody else's holds.
PATIENCE = 5.0
# Objects dropped in one transaction: each takes a handful of locks, and the server has a few thousand for all.
_BATCH = 100

# What our role owns in the database connected to, itself or through a role that it is a member of, without what
# belongs to an extension or is a part of something else, and goes with that. Extensions come first; schemas last,
# because what is in them may be somebody else's to keep: a schema in which another role installed an extension stays,
# and so does `public`.
_OWNED = """
    SELECT i.type, i.identity, s.objid
    FROM pg_shdepend s, pg_identify_object(s.classid, s.objid, 0) i
    WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND s.deptype = 'o' AND pg_has_role(s.refobjid, 'USAGE') AND s.classid <> 'pg_default_acl'::regclass
      AND NOT EXISTS (SELECT FROM pg_depend d
                      WHERE d.classid = s.classid AND (d.objid, d.objsubid) = (s.objid, 0) AND d.deptype IN ('e', 'i'))
      AND NOT (s.classid = 'pg_namespace'::regclass AND (i.name = 'public' OR i.name LIKE 'pg\\_%' OR EXISTS (
          SELECT FROM pg_extension e WHERE e.extnamespace = s.objid AND NOT pg_has_role(e.extowner, 'USAGE'))))
    ORDER BY i.type <> 'extension', i.type = 'schema', s.classid, s.objid
"""

# How a kind of object is called in DROP, where it is not the word that Postgres identifies it by.
_KINDS = {
    "function": "ROUTINE",
    "procedure": "ROUTINE",
    "aggregate": "ROUTINE",
    "statistics object": "STATISTICS",
    "foreign-data wrapper": "FOREIGN DATA WRAPPER",
}
_LARGE_OBJECT = "large object"

# Each grant beside those that hold without any entry, and each that holds without one and was taken away.
_DEFAULT_PRIVILEGES = """
    WITH entries AS (
        SELECT a.defaclrole AS role, a.defaclnamespace AS schema, a.defaclobjtype AS kind, a.defaclacl AS acl,
               CASE WHEN a.defaclnamespace = 0
                    THEN acldefault(CASE a.defaclobjtype WHEN 'S' THEN 's' ELSE a.defaclobjtype END, a.defaclrole)
                    END AS usual
        FROM pg_default_acl a WHERE pg_has_role(a.defaclrole, 'USAGE')
    ), changes AS (
        SELECT e.*, 'REVOKE' AS verb, x.* FROM entries e, aclexplode(e.acl) x
        UNION ALL
        SELECT e.*, 'GRANT', x.* FROM entries e, aclexplode(e.usual) x
    )
    SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I ', pg_get_userbyid(role))
           || CASE schema WHEN 0 THEN '' ELSE format('IN SCHEMA %s ', schema::regnamespace) END
           || format('%s %s ON %s %s ', verb, privilege_type,
                     CASE kind WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                               WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END,
                     CASE verb WHEN 'GRANT' THEN 'TO' ELSE 'FROM' END)
           || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', pg_get_userbyid(grantee)) END
    FROM changes ORDER BY verb DESC
"""


def empty(connection: Connection, public: PublicSchema) -> None:
    """Drop everything that our role owns in the database connected to, and leave the database empty.

    The caller has made sure that it may be emptied, and has ended the sessions in it. Extensions that another role
    installed stay.

    Args:
        connection: To the database, in no transaction.
        public: What its schema `public` shall be.

    Raises:
        RestoreBlockedError: Another session holds a lock.
        PrivilegeError: Something in it is another role's.
    """
    connection.execute("SET client_min_messages TO warning")
    connection.execute(sql.SQL("SET lock_timeout TO {}").format(sql.Literal(f"{round(PATIENCE * 1000)}ms")))
    try:
        statements = list(_statements(connection))
        for start in range(0, len(statements), _BATCH):
            _execute(connection, statements[start : start + _BATCH])
        _execute(connection, [sql.SQL(str(row[0])) for row in connection.execute(_DEFAULT_PRIVILEGES).fetchall()])
        public_schema.put_back(connection, public)
    except errors.LockNotAvailable as error:
        raise _blocked(connection, error) from None
    except errors.InsufficientPrivilege as error:
        database = connection.info.dbname
        raise PrivilegeError(
            f"to empty the database {database!r} as the role {connection.info.user!r}",
            str(error),
            _remedies(connection),
        ) from None
    finally:
        connection.execute("RESET lock_timeout")
    _check_empty(connection)


def _statements(connection: Connection) -> Iterator[sql.Composed]:
    """A statement for each object that our role owns; those that went with another are no error."""
    for kind, identity, oid in connection.execute(_OWNED).fetchall():
        if kind == _LARGE_OBJECT:
            yield sql.SQL("SELECT lo_unlink({})").format(sql.Literal(oid))
        else:
            word = _KINDS.get(str(kind), str(kind).upper())
            yield sql.SQL("DROP {} IF EXISTS {} CASCADE").format(sql.SQL(word), sql.SQL(str(identity)))


def _execute(connection: Connection, statements: Sequence[sql.SQL | sql.Composed]) -> None:
    with connection.transaction():
        for statement in statements:
            connection.execute(statement)


def _blocked(connection: Connection, error: errors.LockNotAvailable) -> RestoreBlockedError:
    database = connection.info.dbname
    there = sessions.others(connection, database)
    return RestoreBlockedError(
        f"to empty the database {database!r}, for {PATIENCE:g} s",
        f"{error}: a session that our role may not end holds a lock. There are:\n{sessions.listed(there)}",
        ["end these sessions"],
    )


def _check_empty(connection: Connection) -> None:
    left = contents.remains(connection)
    if left is not None:
        raise PrivilegeError(
            f"to empty the database {connection.info.dbname!r} as the role {connection.info.user!r}",
            f"{left}, which it may not drop: {left.first} belongs to {left.owner!r}",
            _remedies(connection),
        )


def _remedies(connection: Connection) -> list[str]:
    database, role = connection.info.dbname, connection.info.user
    statement = sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(role))
    return [
        "as a superuser, drop what is not this role's",
        f"or drop the database and make it anew: {statement.as_string(None)}",
    ]
