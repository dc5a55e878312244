"""Detecting changes by reading the WAL: what was written is listed there, whatever the size of the schema.

It names relations that were written to, by transactions that ended and by those that may yet end. What writes no WAL,
unlogged tables and sequences, is asked.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import SEQUENCE
from pytest_pristine.isolation.changes import Changes, Mark, Moment
from pytest_pristine.isolation.freshness import EVERYTHING
from pytest_pristine.isolation.probes import Probes
from pytest_pristine.isolation.schema import SchemaWatch
from pytest_pristine.postgres import snapshots, wal
from pytest_pristine.postgres.wal import Reader, Write

# Oids of pg_largeobject and pg_largeobject_metadata.
_LARGE_OBJECTS = frozenset({2613, 2995})

# Bytes of WAL that take as long to read as asking takes: for the catalogues, and for each relation. Measured with
# bench/restore/threshold.py.
_BYTES, _BYTES_PER_RELATION = 288 * 1024, 1536

_log = logging.getLogger("pytest_pristine")


@dataclass
class WalGuided:
    """Lists what was written since a mark.

    Attributes:
        reader: Reads the WAL.
        baseline: The relations to look for.
        schema: Watches the catalogues.
        probes: Asks for what writes no WAL.
        limit: Bytes of WAL that take as long to read as asking takes.
    """

    reader: Reader
    baseline: Baseline
    schema: SchemaWatch
    probes: Probes
    _suspects: frozenset[Write] = frozenset()
    _next_suspects: frozenset[Write] = frozenset()
    limit: int = field(init=False)

    def __post_init__(self) -> None:
        self.limit = _BYTES + _BYTES_PER_RELATION * len(self.baseline.relations)
        unlogged = [relation for relation in self.baseline.relations if relation.unlogged]
        self._unlogged = self.probes.asking([relation for relation in unlogged if not relation.hidden])
        # What we may not see counts as changed.
        self._always = frozenset(relation.oid for relation in unlogged if relation.hidden)

    def changes(self, since: Mark, until: Moment) -> Changes | None:
        """Read what was written; None when it is too much, or not there any more."""
        writes = self._read(since, until)
        if writes is None:
            return None
        read = {oid for oid, _ in writes}
        writes |= self._suspects
        # What an open transaction wrote lies before the next mark, and may be committed after it.
        open_ = {snapshots.lower(xid) for xid in until.open}
        self._next_suspects = frozenset((oid, xid) for oid, xid in writes if xid in open_)
        written = {oid for oid, _ in writes}
        fresh = since.fresh(until.own)
        schema = self.schema.changes(written, fresh)
        if schema.catalogues:
            return Changes(schema=schema)
        oids = {oid for oid in written | schema.moved if oid is not None and oid in self.baseline}
        oids -= self._stands({oid for oid, _ in self._suspects} - read)
        oids |= self._always | self.probes.ask(self._unlogged, fresh)
        return self.baseline.sort(oids, large_objects=not _LARGE_OBJECTS.isdisjoint(written))

    def remember(self) -> None:
        """What was found was put back: from now on suspect what the transactions wrote that were open."""
        self._suspects = self._next_suspects

    def suspect(self, writes: Iterable[Write]) -> None:
        """Suspect these writes and no others: everything was asked."""
        self._suspects = frozenset(writes)

    def is_near(self, since: Mark, position: str) -> bool:
        """Whether the WAL between a mark and a position tells all, and takes no longer to read than asking takes."""
        return since.is_told and wal.distance(since.position, position) <= self.limit

    def _stands(self, suspected: Collection[int | None]) -> set[int]:
        """The sequences among what is merely suspected that stand where they are to stand.

        They were put back when they were first found. A transaction that ends moves none.
        """
        sequences = [each for each in self.baseline.of_kind(SEQUENCE) if each.oid in suspected]
        return {each.oid for each in sequences} - self.probes.ask(self.probes.asking(sequences), EVERYTHING)

    def _read(self, since: Mark, until: Moment) -> set[Write] | None:
        if until.writes is not None:
            return set(until.writes)
        if until.readable is None or not self.is_near(since, until.readable):
            return None
        writers = bool(until.open)
        try:
            return self.reader.written(since.position, until.readable, (*since.own, *until.own), writers=writers)
        except wal.UNREADABLE as error:
            _log.debug("the WAL cannot be read: %s", error)
            return None
