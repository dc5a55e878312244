"""The system catalogues: which rows of which of them are a schema, and what of a row is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from psycopg import sql

from pytest_pristine.isolation.freshness import FRESH, FRESH_OR_OURS
from pytest_pristine.postgres.connections import Connection

# Catalogues that hold no part of a schema: statistics, dependencies, which follow from the rest, and large objects,
# which are looked after by themselves. Those that all databases share are asked about our own.
_IGNORED = (
    "pg_statistic", "pg_statistic_ext_data", "pg_depend", "pg_largeobject", "pg_largeobject_metadata", "pg_init_privs",
)  # fmt: skip

# The column that says to which relation a row belongs. Rows of temporary relations are nobody's business.
_RELATION = {
    "pg_attribute": "attrelid", "pg_attrdef": "adrelid", "pg_constraint": "conrelid", "pg_description": "objoid",
    "pg_foreign_table": "ftrelid", "pg_partitioned_table": "partrelid",
    "pg_index": "indexrelid", "pg_inherits": "inhrelid", "pg_policy": "polrelid", "pg_rewrite": "ev_class",
    "pg_sequence": "seqrelid", "pg_statistic_ext": "stxrelid", "pg_trigger": "tgrelid",
}  # fmt: skip

# The same for rows that belong to a function or type: the column, the catalogue and its column with the namespace.
_PARENT = {
    "pg_aggregate": ("aggfnoid", "pg_proc", "pronamespace"),
    "pg_enum": ("enumtypid", "pg_type", "typnamespace"),
    "pg_range": ("rngtypid", "pg_type", "typnamespace"),
}

# Catalogues whose rows change without the schema changing (a table has another file), are changed and changed back
# (triggers switched off and on), or are written as they were (a function replaced by itself when an application
# starts), with the columns that say nothing about the schema. Of their rows the content counts.
_COMPARED = {
    "pg_class": (
        "relfilenode", "relpages", "reltuples", "relallvisible", "relallfrozen", "relfrozenxid", "relminmxid",
        "relispopulated", "reltoastrelid", "relhasindex", "relhasrules", "relhastriggers", "relhassubclass",
    ),
    "pg_trigger": (),
    "pg_rewrite": (),
    "pg_index": ("indcheckxmin",),
    "pg_sequence": (),
    "pg_proc": (),
    "pg_namespace": (),
    "pg_description": (),
}  # fmt: skip

# The column that a sequence belongs to. ALTER SEQUENCE writes the sequence's row, whatever it changes.
_SEQUENCE_OWNER = """
    (SELECT array_agg(concat_ws(' ', refobjid, refobjsubid, deptype)) FROM pg_depend
     WHERE classid = 'pg_class'::regclass AND objid = seqrelid AND deptype IN ('a', 'i'))
"""

# The options of a table's other table, for large values, which are set by ALTER TABLE as well.
_TOAST_OPTIONS = "(SELECT t.reloptions FROM pg_class t WHERE t.oid = pg_class.reltoastrelid)"

# Those of them that hold thousands of rows of the server's own, of which only people's are compared.
_LARGE = ("pg_proc", "pg_description", "pg_rewrite")

# The object that a row is, or is a part of, as class, object and sub-object: for the catalogues whose rows are no
# objects by themselves.
_ADDRESSES = {
    "pg_attribute": "'pg_class'::regclass, attrelid, attnum",
    "pg_aggregate": "'pg_proc'::regclass, aggfnoid, 0",
    "pg_description": "classoid, objoid, objsubid",
    "pg_enum": "'pg_type'::regclass, enumtypid, 0",
    "pg_foreign_table": "'pg_class'::regclass, ftrelid, 0",
    "pg_index": "'pg_class'::regclass, indexrelid, 0",
    "pg_inherits": "'pg_class'::regclass, inhrelid, 0",
    "pg_partitioned_table": "'pg_class'::regclass, partrelid, 0",
    "pg_range": "'pg_type'::regclass, rngtypid, 0",
    "pg_seclabel": "classoid, objoid, objsubid",
    "pg_sequence": "'pg_class'::regclass, seqrelid, 0",
    "pg_ts_config_map": "'pg_ts_config'::regclass, mapcfg, 0",
}

_CATALOGUES = """
    SELECT c.oid, c.relname,
           ARRAY(SELECT a.attname::text FROM pg_attribute a
                 WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum)
    FROM pg_class c
    WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND NOT c.relisshared
      AND c.relname <> ALL (%s) AND has_table_privilege(c.oid, 'SELECT')
    ORDER BY c.oid
"""

# The file of each catalogue, those that all databases share among them.
FILES = """
    SELECT oid, pg_relation_filenode(oid) FROM pg_class
    WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
"""

# What belongs to a session, and the tables for large values, which follow from their tables.
_SET_ASIDE = r"SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_(toast|temp)'"
_OF_RELATIONS = "SELECT oid FROM pg_class WHERE relpersistence = 't' OR relnamespace = 'pg_toast'::regnamespace"

PG_CLASS = 1259
# The lowest oid of objects that were made after initdb (FirstNormalObjectId).
FIRST_OF_PEOPLE = 16384


@dataclass(frozen=True, slots=True)
class SystemCatalogue:
    """A system catalogue.

    Attributes:
        oid: Its oid.
        name: Its name.
        columns: The names of its columns.
    """

    oid: int
    name: str
    columns: tuple[str, ...]

    @property
    def identifier(self) -> sql.Identifier:
        """Its name in a statement."""
        return sql.Identifier("pg_catalog", self.name)

    @property
    def in_lasting_namespace(self) -> sql.Composable:
        """Whether a row is in a namespace that outlives sessions, for what has a namespace: quickly asked."""
        namespace = next((name for name in self.columns if name.endswith("namespace")), None)
        if self.name == "pg_namespace":
            namespace = "oid"
        if namespace is None:
            return sql.SQL("true")
        return sql.SQL("{} NOT IN ({})").format(sql.Identifier(namespace), sql.SQL(_SET_ASIDE))

    @property
    def lasting(self) -> sql.Composable:
        """Whether a row is of something that outlives the session that made it."""
        conditions = [self.in_lasting_namespace]
        if self.name in _RELATION:
            relation = sql.Identifier(_RELATION[self.name])
            conditions.append(sql.SQL("{} NOT IN ({})").format(relation, sql.SQL(_OF_RELATIONS)))
        if self.name in _PARENT:
            column, parent, namespace = map(sql.Identifier, _PARENT[self.name])
            lasting = sql.SQL("{} NOT IN (SELECT oid FROM {} WHERE {} IN ({}))")
            conditions.append(lasting.format(column, parent, namespace, sql.SQL(_SET_ASIDE)))
        return sql.SQL(" AND ").join(conditions)

    @property
    def is_of_parents(self) -> bool:
        """Whether its rows belong to relations, functions or types, which may be temporary."""
        return self.name in _RELATION | _PARENT

    @property
    def is_compared(self) -> bool:
        """Whether the content of its rows counts, and not only that they were written."""
        return self.name in _COMPARED

    @property
    def fresh(self) -> sql.SQL:
        """Whether a row is fresh. One of ours may hold what somebody changed a moment before: its content tells."""
        return FRESH_OR_OURS if self.is_compared else FRESH

    @property
    def key(self) -> sql.Identifier:
        """The column that identifies a row."""
        return sql.Identifier("oid" if "oid" in self.columns else _RELATION[self.name])

    @property
    def lowest(self) -> int:
        """The lowest oid of rows that are compared. Of those below, one that is written at all counts as changed."""
        return FIRST_OF_PEOPLE if self.name in _LARGE else 0

    @property
    def content(self) -> sql.Composable:
        """A digest of what a row says about the schema."""
        kept: list[sql.Composable] = [sql.Identifier(name) for name in self.columns if name not in _COMPARED[self.name]]
        if self.name == "pg_sequence":
            kept.append(sql.SQL(_SEQUENCE_OWNER))
        if self.name == "pg_class":
            kept.append(sql.SQL(_TOAST_OPTIONS))
        return sql.SQL("hashtextextended(ROW({})::text, 0)").format(sql.SQL(", ").join(kept))

    @property
    def address(self) -> sql.Composable:
        """Class, object and sub-object of a row."""
        if self.name in _ADDRESSES:
            return sql.SQL(_ADDRESSES[self.name])
        if "oid" in self.columns:
            return sql.SQL("{}::oid, oid, 0").format(sql.Literal(self.oid))
        return sql.SQL("'pg_class'::regclass, {}::oid, 0").format(sql.Literal(self.oid))


def read(connection: Connection) -> Iterator[SystemCatalogue]:
    """The catalogues that hold a part of the schema, as far as our role may read them."""
    for oid, name, columns in connection.execute(_CATALOGUES, [list(_IGNORED)]):
        yield SystemCatalogue(int(str(oid)), str(name), tuple(columns))  # type: ignore[arg-type]
