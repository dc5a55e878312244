"""Undoing what was found: the changed relations are put back, and what is written meanwhile as well."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from pytest_pristine.isolation import restore
from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.changes import Changes, Mark, Moment
from pytest_pristine.isolation.freshness import Fresh
from pytest_pristine.isolation.restored import SEQUENCE, Restored, Spoiled, Written
from pytest_pristine.isolation.watch import Watch
from pytest_pristine.postgres import wal
from pytest_pristine.postgres.connections import Connection

# How often what triggers and functions write meanwhile is put back, too.
_PASSES = 4
# Bytes of WAL in a test from which tables may be better truncated.
_BULK = 512 * 1024


class Restorer(Protocol):
    """A way to put changed relations back."""

    def __call__(
        self, connection: Connection, baseline: Baseline, changes: Changes, fresh: Fresh, /, *, bulk: bool
    ) -> Written:
        """Put everything that changed back."""


class Undone(NamedTuple):
    """What was done.

    Attributes:
        restored: What was put back.
        mark: When the database was pristine: now.
    """

    restored: Restored
    mark: Mark


class Made(NamedTuple):
    """What was found when a database was made anew.

    Attributes:
        gone: What of the schema had gone, in words.
        beside: What had to be written into the new one: it was there at the beginning, and something else than
            `rebuild` had made it.
    """

    gone: list[str]
    beside: Restored


def undo(watch: Watch, restorer: Restorer, since: Mark, changes: Changes, moment: Moment, fresh: Fresh) -> Undone:
    """Put everything that changed back.

    Args:
        watch: Of the database.
        restorer: The way to put relations back.
        since: When it was pristine last.
        changes: What changed since.
        moment: When that was looked at.
        fresh: Which rows were written since.

    Raises:
        Spoiled: It cannot be put back.
    """
    if changes.schema.catalogues:
        raise Spoiled(", ".join(changes.schema.altered), changes.schema.catalogues)
    written = Written(own=list(moment.own))
    others: list[str] = []
    if changes.large_objects:
        others += watch.remove_large_objects(written)
        if altered := watch.large_objects.altered():
            raise Spoiled(", ".join(f"large object {oid} changed" for oid in altered))
    bulk = wal.distance(since.position, moment.position) > _BULK
    for _ in range(_PASSES):
        others += _put_back(watch, restorer, changes, fresh, written, bulk=bulk)
        changes = watch.unmeant(changes, {*written.rows, *written.filled}, fresh)
        if not changes:
            break
    else:
        unruly = ", ".join(map(str, (*changes.tables, *changes.views, *changes.sequences)))
        raise Spoiled(f"triggers or functions write to {unruly} whenever it is put back")
    mark = watch.remember(moment, tuple(written.own))
    restore.cut_short(watch.connection, written.long)
    rows = tuple((str(table), count) for table, count in written.rows.items() if count != 0)
    return Undone(Restored(rows, tuple(dict.fromkeys(others))), mark)


def _put_back(
    watch: Watch, restorer: Restorer, changes: Changes, fresh: Fresh, written: Written, *, bulk: bool
) -> list[str]:
    """Put back what changed; gives what else than rows that was, in words."""
    if changes.tables or changes.sequences:
        done = restorer(watch.connection, watch.baseline, changes, fresh, bulk=bulk)
        for xid in done.own:
            written.take(xid)
        written.rows.update(done.rows)
        written.filled.extend(done.filled)
        written.long.extend(done.long)
    refreshed = _refresh(watch, changes, written)
    return [*refreshed, *(f"{SEQUENCE}{sequence}" for sequence in changes.sequences)]


def _refresh(watch: Watch, changes: Changes, written: Written) -> list[str]:
    refreshed = [view for view in changes.views if watch.refresh(view, written)]
    stale = [view for view in refreshed if not watch.holds(view)]
    if stale:
        raise Spoiled(", ".join(f"materialized view {view} held what its query does not give" for view in stale))
    return [f"materialized view {view}" for view in refreshed]
