"""Whether a database is empty: the question before anything in it may be destroyed."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_pristine.postgres.connections import Connection

# Objects from oid 16384 (FirstNormalObjectId) on were made after initdb, which imports collations of its own below it.
# Whatever a person could have made, extensions and what belongs to them left out: a database in which somebody with
# the right to do so installed an extension for us is empty still.
_QUERY = """
    WITH mine AS (
        SELECT n.oid, n.nspname FROM pg_namespace n
        WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%%'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_namespace'::regclass AND d.objid = n.oid
                          AND d.deptype = 'e')
    ), things(what, name, class, object) AS (
        SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
                    WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table' END,
               format('%%I.%%I', mine.nspname, c.relname), 'pg_class'::regclass, c.oid
        FROM pg_class c JOIN mine ON mine.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f', 'c')
        UNION ALL
        SELECT 'function', format('%%I.%%I', mine.nspname, p.proname), 'pg_proc'::regclass, p.oid
        FROM pg_proc p JOIN mine ON mine.oid = p.pronamespace
        UNION ALL
        SELECT 'type', format('%%I.%%I', mine.nspname, t.typname), 'pg_type'::regclass, t.oid
        FROM pg_type t JOIN mine ON mine.oid = t.typnamespace WHERE t.typtype IN ('d', 'e', 'r')
        UNION ALL
        SELECT 'schema', format('%%I', mine.nspname), 'pg_namespace'::regclass, mine.oid
        FROM mine WHERE mine.nspname <> 'public'
          AND (%(strict)s OR NOT EXISTS (SELECT FROM pg_extension e WHERE e.extnamespace = mine.oid))
        UNION ALL
        SELECT 'large object', oid::text, 'pg_largeobject'::regclass, oid FROM pg_largeobject_metadata
        UNION ALL
        SELECT 'operator', oprname::text, 'pg_operator'::regclass, oid FROM pg_operator WHERE oid >= 16384
        UNION ALL
        SELECT 'collation', collname::text, 'pg_collation'::regclass, oid FROM pg_collation WHERE oid >= 16384
        UNION ALL
        SELECT 'text search configuration', cfgname::text, 'pg_ts_config'::regclass, oid
        FROM pg_ts_config WHERE oid >= 16384
        UNION ALL
        SELECT 'cast', oid::text, 'pg_cast'::regclass, oid FROM pg_cast WHERE oid >= 16384
        UNION ALL
        SELECT 'publication', pubname::text, 'pg_publication'::regclass, oid FROM pg_publication
        UNION ALL
        SELECT 'foreign data wrapper', fdwname::text, 'pg_foreign_data_wrapper'::regclass, oid
        FROM pg_foreign_data_wrapper
        UNION ALL
        SELECT 'default privileges', pg_get_userbyid(defaclrole)::text, 'pg_default_acl'::regclass, oid
        FROM pg_default_acl
        UNION ALL
        SELECT 'server', srvname::text, 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
    )
    SELECT what, name, count(*) OVER (),
           -- Of what the first superuser owns no owner is recorded.
           (SELECT pg_get_userbyid(coalesce(max(o.refobjid), 10)) FROM pg_shdepend o
            WHERE o.classid = things.class AND o.objid = things.object AND o.deptype = 'o'
              AND o.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()))
    FROM things
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = things.class AND d.objid = things.object
                      AND d.deptype = 'e')
    ORDER BY what <> 'table', what, name LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is in a database that is not empty.

    Attributes:
        first: One of the objects, a table if there is one: "table public.users".
        owner: The role that owns it.
        others: How many objects there are beside it.
    """

    first: str
    owner: str
    others: int

    def __str__(self) -> str:
        return self.first + (f" and {self.others} other object{'s' * (self.others != 1)}" if self.others else "")


def describe(connection: Connection) -> str | None:
    """What is in the database connected to; None when it is empty.

    Returns:
        A phrase such as "table public.users and 41 other objects".
    """
    found = _find(connection, strict=True)
    return None if found is None else str(found)


def remains(connection: Connection) -> Contents | None:
    """What is in the database connected to, schemas left out that somebody made for extensions: both are kept."""
    return _find(connection, strict=False)


def _find(connection: Connection, *, strict: bool) -> Contents | None:
    row = connection.execute(_QUERY, {"strict": strict}).fetchone()
    if row is None:
        return None
    what, name, count, owner = row
    return Contents(f"{what} {name}", str(owner), int(str(count)) - 1)
