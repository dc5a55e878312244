"""What was written since the database was pristine: the question between detecting and restoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pytest_pristine.isolation.catalogue import Relation
from pytest_pristine.isolation.freshness import Fresh
from pytest_pristine.isolation.schema import SchemaChanges
from pytest_pristine.postgres import snapshots
from pytest_pristine.postgres.snapshots import Snapshot
from pytest_pristine.postgres.wal import Write

# How many different halves of ids there are: they begin again after that.
_IDS = 2**32


@dataclass(frozen=True, slots=True)
class Changes:
    """What is not, or may not be, what it was.

    Attributes:
        tables: Tables that may have other rows than the baseline's.
        views: Materialized views that may hold other rows.
        sequences: Sequences that may stand elsewhere.
        large_objects: Large objects may be new, gone, or have other content.
        schema: What is different about the schema; when anything is, nothing else was looked at.
    """

    tables: tuple[Relation, ...] = ()
    views: tuple[Relation, ...] = ()
    sequences: tuple[Relation, ...] = ()
    large_objects: bool = False
    schema: SchemaChanges = field(default_factory=SchemaChanges)

    def __bool__(self) -> bool:
        return bool(self.tables or self.views or self.sequences or self.large_objects or self.schema.catalogues)


@dataclass(frozen=True, slots=True)
class Mark:
    """When the database was pristine last.

    Attributes:
        following: Full id of the first transaction that had not begun.
        open: Full ids of those that had begun and not ended, parts of transactions among them.
        foretold: What the server says as long as nothing was committed since; None when it cannot be foretold.
        position: Up to where the WAL was written. What lies before it was written by transactions that had ended, or
            were open.
        is_told: The WAL from there on tells of all changes.
        own: Full ids of our own transactions that ended since.
    """

    following: int
    open: tuple[int, ...]
    foretold: Snapshot | None
    position: str
    is_told: bool
    own: tuple[int, ...] = ()

    def precedes(self, writer: int) -> bool:
        """Whether a transaction had ended by then.

        Args:
            writer: The lower half of its id, which a row has.
        """
        behind = (snapshots.lower(self.following) - writer) % _IDS
        return 0 < behind < _IDS // 2 and all(snapshots.lower(xid) != writer for xid in self.open)

    def fresh(self, own: Sequence[int]) -> Fresh:
        """Which rows were written since.

        Args:
            own: Full ids of further transactions of our own.
        """
        return Fresh(self.following, self.open, (*self.own, *own))


@dataclass(frozen=True, slots=True)
class Moment:
    """When it is looked at.

    Attributes:
        snapshot: Which transactions had ended.
        open: See `Mark`.
        readable: Up to where the WAL was flushed and can be read; None when it was not.
        position: Up to where it was written; see `Mark`.
        own: Full ids of our own transactions since the mark, which changed nothing.
        writes: What was written between the mark and `readable`, where that was read already.
    """

    snapshot: Snapshot
    open: tuple[int, ...]
    readable: str | None
    position: str
    own: tuple[int, ...] = ()
    writes: frozenset[Write] | None = None


class ChangeDetector(Protocol):
    """A way to know what was written. It may name too much, never too little."""

    def changes(self, since: Mark, until: Moment) -> Changes | None:
        """What was written between two moments; None when this way cannot tell."""
