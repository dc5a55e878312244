"""Keeping triggers and rules of the application out of a restore.

In replica role only those fire that somebody enabled ALWAYS or for REPLICA, those of foreign keys among them;
otherwise, those that are enabled plainly or ALWAYS. A table that has some is altered for the time of the restore,
within its transaction: nobody else ever sees it so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import LiteralString

from psycopg import sql

from pytest_pristine.postgres.connections import Connection

# `tgenabled` and `ev_enabled` of what fires in replica role, and in any other.
IN_REPLICA_ROLE = ("A", "R")
IN_ORIGIN_ROLE = ("O", "A")

_ENABLE: dict[str, LiteralString] = {"O": "ENABLE", "A": "ENABLE ALWAYS", "R": "ENABLE REPLICA"}

_TRIGGERS = """
    SELECT n.nspname, c.relname, 'TRIGGER', t.tgname, t.tgenabled::text, c.oid
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE (NOT t.tgisinternal OR 'O' <> ALL (%(states)s)) AND t.tgenabled = ANY(%(states)s)
    UNION ALL
    SELECT n.nspname, c.relname, 'RULE', r.rulename, r.ev_enabled::text, c.oid
    FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND r.ev_enabled = ANY(%(states)s)
"""


# Event triggers can be switched off from PostgreSQL 17 on.
_OTHERS = """
    SELECT EXISTS (SELECT FROM pg_event_trigger
                   WHERE evtenabled = ANY (CASE current_setting('session_replication_role')
                                           WHEN 'replica' THEN ARRAY['A', 'R'] ELSE ARRAY['O', 'A'] END::"char"[])
                     AND current_setting('event_triggers', true) IS DISTINCT FROM 'off'),
           EXISTS (SELECT FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
                   WHERE r.oid >= 16384 AND (d.refclassid = 'pg_proc'::regclass
                         OR d.refclassid = 'pg_class'::regclass
                            AND d.refobjid IN (SELECT oid FROM pg_class WHERE relkind = 'S')))
"""


def armed(connection: Connection, states: Sequence[str]) -> frozenset[int]:
    """Oids of the tables on which something in one of these states would fire."""
    rows = connection.execute(_TRIGGERS, {"states": list(states)})
    return frozenset(int(str(row[5])) for row in rows)


def others(connection: Connection) -> tuple[bool, bool]:
    """Whether event triggers fire for us, and whether views call functions of the application or advance sequences."""
    row = connection.execute(_OTHERS).fetchone()
    return row is not None and bool(row[0]), row is not None and bool(row[1])


@contextmanager
def silenced(connection: Connection, oids: Sequence[int], states: Sequence[str]) -> Iterator[None]:
    """Keep triggers and rules of these tables quiet. The caller is in a transaction.

    Args:
        connection: To the database under test.
        oids: The tables, partitioned ones and their partitions among them.
        states: Those that would fire.
    """
    found = [row for row in connection.execute(_TRIGGERS, {"states": list(states)}) if row[5] in set(oids)]
    for schema, table, kind, name, _, _ in found:
        _alter(connection, (str(schema), str(table)), "DISABLE", str(kind), str(name))
    yield
    if found:
        # A table with foreign key checks outstanding cannot be altered.
        connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for schema, table, kind, name, state, _ in found:
        _alter(connection, (str(schema), str(table)), _ENABLE[str(state)], str(kind), str(name))


def _alter(connection: Connection, table: tuple[str, str], action: LiteralString, kind: str, name: str) -> None:
    """Without ONLY the action would reach the partitions, which have states of their own."""
    statement = sql.SQL("ALTER TABLE ONLY {} {} {} {}")
    of_kind = sql.SQL("RULE") if kind == "RULE" else sql.SQL("TRIGGER")
    connection.execute(statement.format(sql.Identifier(*table), sql.SQL(action), of_kind, sql.Identifier(name)))
