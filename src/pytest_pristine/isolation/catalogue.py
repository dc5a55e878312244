"""The relations of a database that a restore looks after."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import NoReturn

from psycopg import sql

from pytest_pristine.errors import PrivilegeError, SettingError
from pytest_pristine.postgres.connections import Connection

TABLE = "r"
MATERIALIZED_VIEW = "m"
SEQUENCE = "S"


@dataclass(frozen=True, slots=True)
class Relation:
    """A table, materialized view or sequence.

    Attributes:
        oid: Its oid.
        schema: Its schema.
        name: Its name.
        kind: `r`, `m` or `S`, as in pg_class. A partitioned table is its leaves.
        columns: The columns of a table that hold data of their own; generated ones are left out.
        unlogged: What is written to it does not reach the WAL, or not in a form that we know.
        cached: Sessions take numbers from the sequence in advance.
        hidden: Row-level security hides rows of the table from our role, which owns it.
    """

    oid: int
    schema: str
    name: str
    kind: str
    columns: tuple[str, ...] = ()
    unlogged: bool = False
    cached: bool = False
    hidden: bool = False

    @property
    def identifier(self) -> sql.Identifier:
        """Its qualified name, for SQL."""
        return sql.Identifier(self.schema, self.name)

    @property
    def escaped(self) -> sql.SQL:
        """The same for a query that has parameters, where a percent sign means one of them unless it is doubled."""
        return sql.SQL(self.identifier.as_string(None).replace("%", "%%"))

    def __str__(self) -> str:
        return self.name if self.schema == "public" else f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which relations a restore looks after: those that match a pattern of `include` and none of `exclude`.

    A pattern is a table's name, or schema.table, with the wildcards of fnmatch.
    """

    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()

    def covers(self, schema: str, name: str) -> bool:
        """Whether the table is looked after."""
        return _matches(self.include, schema, name) and not _matches(self.exclude, schema, name)


def _matches(patterns: Sequence[str], schema: str, name: str) -> bool:
    return any(fnmatchcase(f"{schema}.{name}" if "." in pattern else name, pattern) for pattern in patterns)


# A sequence goes with the table that owns it. What belongs to an extension is the extension's.
_RELATIONS = """
    SELECT c.oid, n.nspname, c.relname, c.relkind::text,
           coalesce(tn.nspname, n.nspname), coalesce(t.relname, c.relname),
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
                 ORDER BY a.attnum),
           c.relpersistence = 'u' OR c.relkind <> 'S' AND am.amname <> 'heap', coalesce(q.seqcache > 1, false),
           c.relkind = 'r' AND row_security_active(c.oid),
           pg_get_userbyid(c.relowner), pg_has_role(c.relowner, 'USAGE')
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_am am ON am.oid = c.relam
    LEFT JOIN pg_sequence q ON q.seqrelid = c.oid
    LEFT JOIN pg_depend o ON c.relkind = 'S' AND o.classid = 'pg_class'::regclass AND o.objid = c.oid
                         AND o.refclassid = 'pg_class'::regclass AND o.deptype IN ('a', 'i')
    LEFT JOIN pg_class t ON t.oid = o.refobjid
    LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
    WHERE c.relkind IN ('r', 'm', 'S') AND c.relpersistence <> 't'
      AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid
                      AND e.deptype = 'e')
    ORDER BY c.oid
"""


def relations(connection: Connection, coverage: Coverage) -> list[Relation]:
    """All relations that the coverage includes: in the order they were made, views after those that they read.

    Raises:
        SettingError: A table that is kept out refers to one that is restored, or a pattern matches nothing.
        PrivilegeError: A relation belongs to a role that ours is no member of.
    """
    rows = connection.execute(_RELATIONS).fetchall()
    depth = _view_depths(connection)
    covered: list[Relation] = []
    left_out: list[Relation] = []
    for oid, schema, name, kind, owner_schema, owner, columns, *flags, role, ours in rows:
        relation = Relation(int(str(oid)), str(schema), str(name), str(kind), tuple(columns), *map(bool, flags))  # type: ignore[arg-type]
        is_covered = coverage.covers(str(owner_schema), str(owner))
        (covered if is_covered else left_out).append(relation)
        if is_covered and not ours:
            _refuse(connection, relation, str(role))
    _check_patterns(coverage, [(str(row[4]), str(row[5])) for row in rows])
    _check_references(connection, covered, left_out)
    return sorted(covered, key=lambda relation: depth.get(relation.oid, 0))


# How many views lie between a materialized view and the tables it reads, at most. Views do not refer to each other in
# circles.
_VIEW_DEPTHS = """
    WITH RECURSIVE reads(view, source) AS (
        SELECT DISTINCT r.ev_class, d.refobjid
        FROM pg_rewrite r
        JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        JOIN pg_class v ON v.oid = r.ev_class JOIN pg_class s ON s.oid = d.refobjid
        WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
          AND v.relkind IN ('v', 'm') AND s.relkind IN ('v', 'm')
          AND v.relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    ), depths(view, depth) AS (
        SELECT view, 1 FROM reads
        UNION
        SELECT reads.view, depths.depth + 1 FROM reads JOIN depths ON reads.source = depths.view
    )
    SELECT view, max(depth) FROM depths GROUP BY view
"""


def _view_depths(connection: Connection) -> dict[int, int]:
    """The depth of every view that reads others: refreshed in this order, each reads what is fresh already."""
    return {int(str(view)): int(str(depth)) for view, depth in connection.execute(_VIEW_DEPTHS)}


def _check_patterns(coverage: Coverage, names: Sequence[tuple[str, str]]) -> None:
    """A pattern that matches nothing is a misspelling, and what it meant is not what happens."""
    for key, patterns in (("pristine_include", coverage.include), ("pristine_exclude", coverage.exclude)):
        for pattern in patterns:
            if pattern != "*" and not any(_matches([pattern], *name) for name in names):
                tables = ", ".join(sorted({f"{schema}.{table}" for schema, table in names})[:20]) or "none"
                raise SettingError(
                    f"a table that matches {pattern!r} in {key}",
                    f"none; there are: {tables}",
                    [f"correct {key}"],
                )


_REFERENCES = """
    SELECT c.conrelid::regclass::text, c.confrelid::regclass::text FROM pg_constraint c
    WHERE c.contype = 'f' AND c.conrelid = ANY(%s) AND c.confrelid = ANY(%s) LIMIT 1
"""


def _check_references(connection: Connection, covered: Sequence[Relation], left_out: Sequence[Relation]) -> None:
    """Rows that stay must not refer to rows that go."""
    oids = [[relation.oid for relation in group] for group in (left_out, covered)]
    row = connection.execute(_REFERENCES, oids).fetchone() if all(oids) else None
    if row is not None:
        raise SettingError(
            f"to restore {row[1]} and leave {row[0]} alone",
            f"a foreign key from {row[0]} to {row[1]}: rows that stay would refer to rows that are gone",
            [f"exclude {row[1]} as well, or restore {row[0]} too"],
        )


def _refuse(connection: Connection, relation: Relation, owner: str) -> NoReturn:
    """What belongs to another role cannot be put back."""
    role = str(connection.info.user)
    grant = sql.SQL("GRANT {} TO {}").format(sql.Identifier(owner), sql.Identifier(role)).as_string(None)
    raise PrivilegeError(
        f"to put {relation} back after a test",
        f"its owner {owner!r}, of which the role {role!r} is no member",
        [f"as a superuser: {grant}", f"or leave {relation} alone: pristine_exclude"],
    )
