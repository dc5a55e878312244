"""Putting changed relations back, by a role that may keep triggers and foreign keys out of it.

With `session_replication_role = replica` neither fires, so that tables can be emptied and filled in any order, and no
trigger writes while we do. Most restores are one statement.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import astuple

import psycopg
from psycopg import sql

from pytest_pristine.isolation import baseline as baselines
from pytest_pristine.isolation import rewriting, silence, truncation
from pytest_pristine.isolation.baseline import Baseline, Position
from pytest_pristine.isolation.catalogue import TABLE, Relation
from pytest_pristine.isolation.changes import Changes
from pytest_pristine.isolation.freshness import FRESH, Fresh
from pytest_pristine.isolation.restored import Written
from pytest_pristine.postgres.connections import Connection

# Pages of a table, beyond those that it had, from which its file is cut short, instead of by autovacuum some day: until
# then every restore would read the dead rows again.
_LONG = 32
_log = logging.getLogger("pytest_pristine")

# Statements that are kept, one for each set of relations that a test writes to.
_KEPT = 256

_USED = """
    SELECT relation FROM pg_locks
    WHERE relation = ANY (%s) AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND pid <> pg_backend_pid()
"""


def restore(connection: Connection, baseline: Baseline, changes: Changes, fresh: Fresh, *, bulk: bool) -> Written:
    """Put changed tables and sequences back.

    Args:
        connection: To the database under test, in replica role.
        baseline: The state to restore.
        changes: What to restore.
        fresh: Which rows are no part of the baseline.
        bulk: Much was written: tables may be better truncated.
    """
    written = Written()
    tables = truncation.truncate_large(connection, baseline, changes.tables, written) if bulk else changes.tables
    armed = [table for table in tables if table.oid in baseline.armed]
    if armed:
        with connection.transaction(), silence.silenced(connection, [t.oid for t in armed], silence.IN_REPLICA_ROLE):
            complete(connection, baseline, put_back(connection, baseline, armed, fresh, written), written)
    plain = [table for table in tables if table.oid not in baseline.armed]
    try:
        incomplete = put_back(connection, baseline, [*plain, *changes.sequences], fresh, written)
    except psycopg.errors.ObjectNotInPrerequisiteState:
        # A table is published, and its rows have nothing to be told apart by: they may not be deleted.
        with connection.transaction():
            written.filled += rewriting.rewrite(connection, baseline, plain, silence.IN_REPLICA_ROLE)
            written.note(connection)
        written.rows.update(dict.fromkeys(plain))
        incomplete = put_back(connection, baseline, changes.sequences, fresh, written)
    if incomplete:
        with connection.transaction():
            complete(connection, baseline, incomplete, written)
    return written


def cut_short(connection: Connection, tables: Sequence[Relation]) -> None:
    """Give the space of deleted rows back; a table that somebody uses keeps it until the next time."""
    if not tables:
        return
    # VACUUM waits five seconds for the lock to cut a file short, whatever lock_timeout says.
    rows = connection.execute(_USED, [[table.oid for table in tables]])
    used = {row[0] for row in rows}
    for table in tables:
        if table.oid not in used:
            statement = sql.SQL("VACUUM (SKIP_LOCKED, TRUNCATE, INDEX_CLEANUP ON, PARALLEL 0) {}")
            try:
                connection.execute(statement.format(table.identifier))
            except psycopg.Error as error:
                # The rows are gone: only the next restores of the table take longer.
                _log.debug("the file of %s is not cut short: %s", table, error)


def put_back(
    connection: Connection, baseline: Baseline, relations: Sequence[Relation], fresh: Fresh, written: Written
) -> list[Relation]:
    """Delete what was written and set sequences, in one statement as a rule; gives the tables that still lack rows."""
    incomplete = []
    for some in baselines.batches(relations):
        tables = [relation for relation in some if relation.kind == TABLE]
        row = connection.execute(_composed(baseline, some), fresh.parameters).fetchone()
        if row is None:
            raise AssertionError("a SELECT without FROM has one row")
        written.take(row[0])
        for number, table in enumerate(tables):
            deleted, last, kept = row[1 + 3 * number : 4 + 3 * number]
            written.rows[table] = int(str(deleted))
            if kept != baseline.count(table):
                incomplete.append(table)
            if last is not None and _page(last) >= _LONG + baseline.pages(table):
                written.long.append(table)
    for sequence in relations:
        if sequence.cached:
            _restart(connection, sequence, baseline.positions[sequence.oid], written)
    return incomplete


def _page(place: object) -> int:
    """The page of a ctid in words: 17 of `(17,3)`."""
    return int(str(place).strip("()").split(",")[0])


def complete(connection: Connection, baseline: Baseline, tables: Sequence[Relation], written: Written) -> None:
    """Write the rows that tables lack. The caller is in a transaction."""
    for table in tables:
        number = baselines.complete(connection, table, baseline.rows[table.oid])
        written.rows[table] = max(number, written.rows[table] or 0)
    written.note(connection)


def _restart(connection: Connection, sequence: Relation, position: Position, written: Written) -> None:
    """Make sessions give up the numbers of a sequence that they took in advance: those that it has a new file for."""
    with connection.transaction():
        connection.execute(sql.SQL("ALTER SEQUENCE {} RESTART").format(sequence.identifier))
        connection.execute(sql.SQL("SELECT {}").format(_set(sequence, position)))
        written.note(connection)


def _set(sequence: Relation, position: Position) -> sql.Composed:
    return sql.SQL("setval({}::oid::regclass, {}, {})").format(*map(sql.Literal, (sequence.oid, *astuple(position))))


def _composed(baseline: Baseline, relations: Sequence[Relation]) -> bytes:
    """The statement, composed once: composing it takes as long as running it."""
    key = tuple(relation.oid for relation in relations)
    if key not in baseline.statements:
        if len(baseline.statements) >= _KEPT:
            baseline.statements.pop(next(iter(baseline.statements)))
        baseline.statements[key] = statement(baseline, relations).as_bytes(None)
    return baseline.statements[key]


def statement(baseline: Baseline, relations: Sequence[Relation]) -> sql.Composed:
    """The statement that deletes what is no part of the baseline from tables and sets sequences back.

    It takes the parameters of `FRESH`, and gives one row: its transaction id; for each table the number of rows that it
    deleted, the last page that had one, and the number of rows that it left; and what is of no interest.
    """
    deletes: list[sql.Composable] = []
    columns: list[sql.Composable] = [sql.SQL("pg_current_xact_id()::text")]
    settings: list[sql.Composable] = []
    for relation in relations:
        if relation.oid in baseline.positions:
            settings.append(_set(relation, baseline.positions[relation.oid]))
            continue
        name, alias = relation.escaped, sql.Identifier(f"d{len(deletes)}")
        kept = baseline.count(relation)
        only_new = sql.SQL(" WHERE ") + FRESH if kept else sql.SQL("")
        deletes.append(sql.SQL("{} AS (DELETE FROM ONLY {}{} RETURNING ctid)").format(alias, name, only_new))
        columns.append(sql.SQL("(SELECT count(*) FROM {})").format(alias))
        columns.append(sql.SQL("(SELECT max(ctid)::text FROM {})").format(alias))
        survivors = sql.SQL("(SELECT count(*) FROM ONLY {} WHERE NOT {})").format(name, FRESH)
        columns.append(survivors if kept else sql.SQL("0"))
    with_ = sql.SQL("WITH {} ").format(sql.SQL(", ").join(deletes)) if deletes else sql.SQL("")
    return with_ + sql.SQL("SELECT {}").format(sql.SQL(", ").join([*columns, *settings]))
