"""Putting changed relations back, by a role that owns the tables and may do nothing more.

Foreign keys and triggers hold for such a role. Rows that a test added can be deleted all the same, from all tables in
one statement, at whose end the keys are checked. Where rows of the baseline were changed or are gone, or a trigger or
rule would fire, the tables are emptied together with all that refer to them, their closure, and what the baseline had
in it is written anew, referred-to tables first. Slower than the way of `restore`, and the same result.
"""

from __future__ import annotations

from collections.abc import Sequence

import psycopg
from psycopg import sql

from pytest_pristine.isolation import baseline as baselines
from pytest_pristine.isolation import rewriting, silence, truncation
from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import Relation
from pytest_pristine.isolation.changes import Changes
from pytest_pristine.isolation.freshness import Fresh
from pytest_pristine.isolation.restore import put_back
from pytest_pristine.isolation.restored import Written
from pytest_pristine.postgres.connections import Connection

# Milliseconds after which tables are better written anew.
_PATIENCE = 5000


def restore(connection: Connection, baseline: Baseline, changes: Changes, fresh: Fresh, *, bulk: bool) -> Written:
    """Put changed tables and sequences back.

    Args:
        connection: To the database under test.
        baseline: The state to restore.
        changes: What to restore.
        fresh: Which rows are no part of the baseline.
        bulk: Much was written: tables may be better truncated.
    """
    written = Written()
    tables = truncation.truncate_large(connection, baseline, changes.tables, written) if bulk else changes.tables
    tables = _without_unchanged(connection, baseline, tables, written)
    if any(table.hidden or table.oid in baseline.armed for table in tables):
        difficult = list(tables)
    else:
        difficult = _delete(connection, baseline, tables, fresh, written)
    put_back(connection, baseline, changes.sequences, fresh, written)
    if difficult:
        with connection.transaction():
            written.filled += rewriting.rewrite(connection, baseline, difficult, silence.IN_ORIGIN_ROLE)
            written.note(connection)
        written.rows.update(dict.fromkeys(difficult))
    return written


def _delete(
    connection: Connection, baseline: Baseline, tables: Sequence[Relation], fresh: Fresh, written: Written
) -> list[Relation]:
    """Delete what was added; gives the tables that have to be written anew."""
    connection.execute(sql.SQL("SET statement_timeout TO {}").format(sql.Literal(_PATIENCE)))
    try:
        return put_back(connection, baseline, tables, fresh, written)
    except psycopg.errors.IntegrityError:
        # A row of the baseline refers to another that was changed. The statement did nothing.
        return list(tables)
    except psycopg.errors.QueryCanceled:
        # Without an index on a key, each of many rows is looked for among all that refer to it.
        return list(tables)
    finally:
        connection.execute("SET statement_timeout TO 0")


def _without_unchanged(
    connection: Connection, baseline: Baseline, tables: Sequence[Relation], written: Written
) -> tuple[Relation, ...]:
    """The tables without those of which nothing was known, because their rows are hidden, and that are as they were."""
    hidden = [table for table in tables if table.hidden]
    if not hidden:
        return tuple(tables)
    with connection.transaction():
        baselines.show(connection, hidden)
        same = [table for table in hidden if baselines.holds(connection, table, baseline.rows.get(table.oid))]
        baselines.hide(connection, hidden)
        written.note(connection)
    return tuple(table for table in tables if table not in same)
