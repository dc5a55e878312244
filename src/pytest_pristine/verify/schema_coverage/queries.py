"""What the catalogues are asked. Nothing of extensions, of the system, or temporary is among the answers.

A partition, its indexes and constraints count as those of the table that it belongs to. A constraint that a child
inherited counts as its parent's.
"""

from __future__ import annotations

_OURS = r"""
    n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\_%'
"""


def _of_no_extension(catalogue: str, oid: str) -> str:
    return f"""
        NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '{catalogue}'::regclass AND e.objid = {oid}
                    AND e.deptype = 'e')
    """


TABLES = f"""
    SELECT c.oid::bigint, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
           r.oid::bigint AS root, rn.nspname::text AS root_schema, r.relname::text AS root_name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class r
        ON r.oid = CASE WHEN c.relispartition OR c.relkind = 'p' THEN pg_partition_root(c.oid) ELSE c.oid END
    JOIN pg_namespace rn ON rn.oid = r.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND {_OURS}
      AND {_of_no_extension("pg_class", "c.oid")}
    ORDER BY c.oid
"""  # noqa: S608 - parts of our own

# Foreign tables may be partitions: then the table's index has none there.
INDEXES = """
    SELECT i.indexrelid::bigint AS oid, i.indrelid::bigint AS relation, c.relname::text AS name,
           i.indisunique AS is_unique,
           rn.nspname::text AS root_schema, rt.relname::text AS root_table, r.relname::text AS root_name
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_class r
        ON r.oid = CASE WHEN c.relispartition OR c.relkind = 'I' THEN pg_partition_root(c.oid) ELSE c.oid END
    JOIN pg_index ri ON ri.indexrelid = r.oid
    JOIN pg_class rt ON rt.oid = ri.indrelid JOIN pg_namespace rn ON rn.oid = rt.relnamespace
    WHERE c.relpersistence <> 't'
    ORDER BY i.indexrelid
"""

# The way up: to the constraint that a partition's was made for, or to the one that a child inherited.
CONSTRAINTS = """
    WITH RECURSIVE up(oid, next) AS (
        SELECT k.oid, CASE
            WHEN k.conparentid <> 0 THEN k.conparentid
            WHEN k.contype = 'c' AND NOT k.conislocal THEN
                (SELECT p.oid FROM pg_inherits h JOIN pg_constraint p ON p.conrelid = h.inhparent
                 WHERE h.inhrelid = k.conrelid AND p.conname = k.conname AND p.contype = 'c'
                 ORDER BY h.inhseqno LIMIT 1)
            END
        FROM pg_constraint k WHERE k.contype IN ('c', 'f', 'x') AND k.conrelid <> 0
    ), root(oid, found) AS (
        SELECT oid, oid FROM up WHERE next IS NULL
        UNION ALL SELECT up.oid, root.found FROM up JOIN root ON up.next = root.oid
    )
    SELECT k.conrelid::bigint AS relation, k.conname::text AS name, k.contype::text AS kind,
           rn.nspname::text AS root_schema, rt.relname::text AS root_table, r.conname::text AS root_name,
           (SELECT array_agg(f.relname::text) FROM pg_class f WHERE k.contype = 'f'
            AND f.oid IN (SELECT k.confrelid UNION SELECT relid FROM pg_partition_tree(k.confrelid))) AS referenced
    FROM pg_constraint k JOIN root ON root.oid = k.oid JOIN pg_constraint r ON r.oid = root.found
    JOIN pg_class rt ON rt.oid = r.conrelid JOIN pg_namespace rn ON rn.oid = rt.relnamespace
    ORDER BY k.oid
"""

# Those of primary keys and identity columns come with these, and nobody wrote them.
NOT_NULL = """
    WITH RECURSIVE up(relation, "column", next) AS (
        SELECT a.attrelid, a.attname, CASE WHEN NOT a.attislocal OR c.relispartition THEN
            (SELECT h.inhparent FROM pg_inherits h JOIN pg_attribute p ON p.attrelid = h.inhparent
             WHERE h.inhrelid = a.attrelid AND p.attname = a.attname AND p.attnotnull
             ORDER BY h.inhseqno LIMIT 1) END
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attnotnull AND a.attidentity = '' AND c.relkind IN ('r', 'p')
          AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisprimary
                          AND a.attnum = ANY (i.indkey))
    ), root(relation, "column", found) AS (
        SELECT relation, "column", relation FROM up WHERE next IS NULL
        UNION ALL
        SELECT up.relation, up."column", root.found FROM up
        JOIN root ON up.next = root.relation AND up."column" = root."column"
    )
    SELECT relation::bigint, "column"::text AS "column", n.nspname::text AS root_schema, c.relname::text AS root_table
    FROM root JOIN pg_class c ON c.oid = found JOIN pg_namespace n ON n.oid = c.relnamespace
"""

# NOT NULL of a domain has no name here.
DOMAINS = f"""
    SELECT n.nspname::text AS schema, t.typname::text AS domain, d.name::text AS name,
           format_type(t.oid, NULL) AS shown, format('%I.%I', n.nspname, t.typname) AS qualified
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    CROSS JOIN LATERAL (
        SELECT conname AS name FROM pg_constraint WHERE contypid = t.oid AND contype = 'c'
        UNION ALL SELECT '' WHERE t.typnotnull
    ) d
    WHERE t.typtype = 'd' AND {_OURS} AND {_of_no_extension("pg_type", "t.oid")}
"""  # noqa: S608 - the same

# Postgres does not count calls of aggregates, window functions and those of the language `internal`.
FUNCTIONS = f"""
    SELECT p.oid::bigint, n.nspname::text AS schema, p.proname::text AS name,
           pg_get_function_identity_arguments(p.oid) AS arguments
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
    WHERE p.prokind IN ('f', 'p') AND l.lanname <> 'internal' AND {_OURS} AND {_of_no_extension("pg_proc", "p.oid")}
    ORDER BY p.oid
"""  # noqa: S608 - the same

# Bits of tgtype: 1 for each row, 4 INSERT, 8 DELETE, 16 UPDATE, 64 INSTEAD OF. Those of functions that are not counted
# are left out.
TRIGGERS = f"""
    SELECT t.tgrelid::bigint AS relation, t.tgname::text AS name, t.tgfoid::bigint AS function,
           array_remove(ARRAY[CASE WHEN t.tgtype & 4 <> 0 THEN 'inserted' END,
                              CASE WHEN t.tgtype & 8 <> 0 THEN 'deleted' END,
                              CASE WHEN t.tgtype & 16 <> 0 THEN 'updated' END], NULL) AS events,
           t.tgtype & 1 <> 0 AND t.tgtype & 64 = 0 AND t.tgqual IS NULL AND t.tgattr::text = ''
               AND t.tgenabled IN ('O', 'A') AND NOT t.tgdeferrable AS counts
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    JOIN pg_language l ON l.oid = p.prolang
    WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND l.lanname <> 'internal'
      AND {_of_no_extension("pg_trigger", "t.oid")}
    ORDER BY t.oid
"""  # noqa: S608 - the same

ENUMS = f"""
    SELECT t.oid::bigint, n.nspname::text AS schema, t.typname::text AS name, e.enumlabel::text AS label
    FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE {_OURS} AND {_of_no_extension("pg_type", "t.oid")}
"""  # noqa: S608 - the same

# Columns of an enum, of a domain over one, and of arrays of either. A default counts that is a label and nothing
# else.
ENUM_COLUMNS = """
    WITH RECURSIVE base(oid, type, is_array) AS (
        SELECT oid, oid, false FROM pg_type WHERE typtype = 'e'
        UNION
        SELECT t.oid, b.type, b.is_array OR t.typtype <> 'd'
        FROM pg_type t JOIN base b ON (t.typtype = 'd' AND t.typbasetype = b.oid)
                                   OR (t.typcategory = 'A' AND t.typtype <> 'd' AND t.typelem = b.oid)
    )
    SELECT a.attrelid::bigint AS relation, a.attname::text AS "column", b.type::bigint, b.is_array,
           c.relkind = 'r' AS is_stored,
           (SELECT e.enumlabel::text FROM pg_attrdef d JOIN pg_enum e ON e.enumtypid = b.type
            WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
              AND pg_get_expr(d.adbin, d.adrelid) = format('%L::%s', e.enumlabel, format_type(a.atttypid, NULL))
           ) AS "default"
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN base b ON b.oid = a.atttypid
    WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY 1, a.attnum
"""
