"""All that watches one database through one connection."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine.errors import RestoreError
from pytest_pristine.isolation import aborted, catalogue, large_objects, silence
from pytest_pristine.isolation import baseline as baselines
from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import MATERIALIZED_VIEW, SEQUENCE, TABLE, Coverage, Relation
from pytest_pristine.isolation.changes import ChangeDetector, Changes, Mark, Moment
from pytest_pristine.isolation.freshness import EVERYTHING, Fresh
from pytest_pristine.isolation.gate import Gate, Look
from pytest_pristine.isolation.large_objects import LargeObjects
from pytest_pristine.isolation.manifest import Difference, Manifest
from pytest_pristine.isolation.probes import Probes
from pytest_pristine.isolation.restored import Written
from pytest_pristine.isolation.schema import SHARED, SchemaWatch
from pytest_pristine.isolation.wal_guided import WalGuided
from pytest_pristine.postgres import sessions, snapshots, wal
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.snapshots import Snapshot
from pytest_pristine.postgres.wal import Flushed

_IN_PROGRESS = "SELECT xid::text FROM unnest(%s::xid8[]) AS xid WHERE pg_xact_status(xid) = 'in progress'"


def _in_progress(connection: Connection, xids: Collection[int]) -> set[int]:
    """Those of the transactions, or parts of them, that have not ended."""
    rows = connection.execute(_IN_PROGRESS, [list(map(str, xids))], prepare=True)
    return {int(str(row[0])) for row in rows}


@dataclass
class Watch:
    """What is known of the database when it is pristine, and the ways to find out what is different.

    Attributes:
        connection: To the database under test.
        baseline: The rows and positions to restore.
        schema: The catalogues.
        large_objects: The large objects.
        gate: Tells whether anything can have happened.
        probes: Find what happened.
        wal_guided: Finds it faster, where there is a way.
        replica: The connection is in replica role.
        mark: When this began.
        crash: When the server began to count anew, as it does after a crash.
        may_run: Something of the application's may run when a restore writes.
        views_run: Something of it may when a materialized view is refreshed.
    """

    connection: Connection
    baseline: Baseline
    schema: SchemaWatch
    large_objects: LargeObjects
    gate: Gate
    probes: Probes
    wal_guided: WalGuided | None
    replica: bool
    mark: Mark
    crash: object
    may_run: bool
    views_run: bool
    reading: Connection | None = None
    _way: ChangeDetector | None = None
    _is_written_to: bool = True

    @classmethod
    def begin(cls, connection: Connection, reading: Connection, coverage: Coverage, *, replica: bool) -> Watch:
        """Take the present state of the database as the one to restore.

        Args:
            connection: Restores, as long as the tests run.
            reading: Reads all there is, here and when it is first compared, and is then ended: that gives back what it
                took of the server's memory.
            coverage: Which tables to look after.
            replica: The role may set `session_replication_role`.
        """
        relations = catalogue.relations(reading, coverage)
        baseline = baselines.record(reading, relations, _fire(replica=replica))
        try:
            watch = cls._equip(connection, baseline, SchemaWatch(reading), LargeObjects(reading), replica=replica)
        except BaseException:
            baseline.close()
            raise
        watch.probes.connection, watch.reading = reading, reading
        return watch

    @classmethod
    def _equip(
        cls, connection: Connection, baseline: Baseline, schema: SchemaWatch, large: LargeObjects, *, replica: bool
    ) -> Watch:
        probes = Probes(connection, baseline, schema)
        reader = wal.reader(connection)
        guided = None if reader is None else WalGuided(reader, baseline, schema, probes)
        gate = Gate(connection, baseline, reader)
        # What was written until now, by ourselves among others, is found by the first look.
        look = gate.look()
        told = look.snapshot.open
        open_ = {*told, *_in_progress(connection, range(min(told), look.snapshot.following))} if told else set()
        mark = Mark(look.snapshot.following, tuple(sorted(open_)), None, look.inserted, is_told=False)
        events, views_run = silence.others(connection)
        may_run = bool(baseline.armed) or events
        crash = _crash(connection)
        return cls(
            connection, baseline, schema, large, gate, probes, guided, replica, mark, crash, may_run, views_run
        )  # fmt: skip

    def reconnected(self, connection: Connection) -> Watch:
        """The same on another connection."""
        self._stop_reading()
        self.schema.connection = self.large_objects.connection = connection
        return self._equip(connection, self.baseline, self.schema, self.large_objects, replica=self.replica)

    def again(self, connection: Connection) -> Watch:
        """The same for another copy of the same template, where all has the same oids: it is not read.

        What somebody has written to it by now is found by the first look, like all that is written afterwards.
        """
        self.schema.watch_again(connection)
        self.large_objects.connection = connection
        return self._equip(connection, self.baseline, self.schema, self.large_objects, replica=self.replica)

    def has_crashed(self, connection: Connection) -> bool:
        """Whether the server crashed since, and may have lost what was committed last, a restore for example."""
        return _crash(connection) != self.crash

    def move(self, connection: Connection, coverage: Coverage, url: URL) -> Watch:
        """The same for a database that was made anew and holds what the migrations alone made.

        Raises:
            RestoreError: Its schema is not what it was.
        """
        relations = catalogue.relations(connection, coverage)
        moved = self.baseline.moved_to(relations, silence.armed(connection, _fire(replica=self.replica)))
        schema = SchemaWatch(connection)
        different = schema.differences(self.schema)
        if moved is None or different:
            raise RestoreError(
                f"to make the database {url.database!r} anew as it was",
                "migrations that make another schema than the tests began with: "
                + (", ".join(different) or "other relations"),
                ["make all of the schema in the migrations, not after them, for example in apply_migrations"],
            )
        large = LargeObjects(connection)
        if not large.same(self.large_objects):
            raise RestoreError(
                f"to make the database {url.database!r} anew as it was",
                "large objects that something else than the migrations made before the tests began",
                ["make large objects in the migrations"],
            )
        return self._equip(connection, moved, schema, large, replica=self.replica)

    def manifest(self, *, digests: bool) -> Manifest:
        """What the database holds now, which is pristine.

        Args:
            digests: With digests of the rows that there are.
        """
        return (
            Manifest.record(self.reading or self.connection, self.baseline) if digests else Manifest(self.baseline, {})
        )

    def differences(self, manifest: Manifest) -> list[Difference]:
        """All that is not as it was: rows however many, views, sequences, large objects, catalogues."""
        changes = self.compare()
        views = [view for view in changes.views if not self.holds(view)]
        found = manifest.told(self.connection, [*changes.tables, *changes.sequences, *views])
        found += [
            Difference(f"the catalogues: {each}") for each in SchemaWatch(self.connection).differences(self.schema)
        ]
        if self.large_objects.new() or self.large_objects.altered():
            found.append(Difference("large objects"))
        return found

    def compare(self) -> Changes:
        """What is not as in the baseline, found by reading all of it: for a database that was made anew."""
        tables = self.baseline.of_kind(TABLE)
        with baselines.unhidden(self.connection, tables):
            filled = baselines.with_rows(self.connection, tables)
            oids = {
                table.oid
                for table in {*filled, *(table for table in tables if self.baseline.count(table))}
                if not baselines.holds(self.connection, table, self.baseline.rows.get(table.oid))
            }
        sequences = self.baseline.of_kind(SEQUENCE)
        oids |= self.probes.ask(self.probes.asking(sequences), EVERYTHING)
        oids |= {view.oid for view in self.baseline.of_kind(MATERIALIZED_VIEW)}
        return self.baseline.sort(oids, large_objects=False)

    def unmeant(self, meant: Changes, written: Collection[Relation], fresh: Fresh) -> Changes:
        """What the application's triggers, rules and functions wrote while changes were put back.

        Nothing is asked where there are none that could have run.

        Args:
            meant: The changes that were put back last.
            written: The tables that were written to. Rows of ours look as fresh there as theirs.
            fresh: Which rows were no part of the baseline, those that were written since among them.
        """
        armed = self.may_run and (meant.tables or meant.sequences)
        if not armed and not (meant.views and self.views_run):
            return Changes()
        tables = [table for table in self.baseline.of_kind(TABLE) if table in written or table.hidden]
        oids = self.probes.ask_all(fresh) - {table.oid for table in tables}
        with baselines.unhidden(self.connection, tables):
            rows = self.baseline.rows
            oids |= {table.oid for table in tables if not baselines.holds(self.connection, table, rows.get(table.oid))}
        oids |= {view.oid for view in self.baseline.of_kind(MATERIALIZED_VIEW) if not self.holds(view)}
        return self.baseline.sort(oids, large_objects=False)

    @property
    def has_hidden(self) -> bool:
        """Whether row-level security hides rows of some table from our role."""
        return any(relation.hidden for relation in self.baseline.relations)

    def look(self, since: Mark) -> Look:
        """Look at the server, and at what was written since, where that comes with it."""
        return self.gate.look() if self.wal_guided is None else self.gate.look_ahead(since, self.wal_guided.limit)

    def moment(self, look: Look, since: Mark) -> Moment:
        """The moment of a look, with the WAL flushed where it is to be read."""
        guided = self.wal_guided
        if look.ahead is not None:
            moment = self._flushed(look, since, look.ahead.flushed)
            if not moment.open:
                return replace(moment, writes=look.ahead.writes)
        if guided is None or look.position is not None or not guided.is_near(since, look.inserted):
            return Moment(look.snapshot, self._open(look.snapshot, since), look.position, look.inserted)
        return self._flushed(look, since, guided.reader.flush())

    def _flushed(self, look: Look, since: Mark, flushed: Flushed) -> Moment:
        """The moment of a look after which the WAL was flushed: others may have begun in between."""
        snapshot = replace(look.snapshot, following=look.snapshot.following_at(flushed.following))
        open_ = self._open(snapshot, since, flushed.own)
        return Moment(snapshot, open_, flushed.position, flushed.position, flushed.own)

    def _open(self, snapshot: Snapshot, since: Mark, own: Sequence[int] = ()) -> tuple[int, ...]:
        """Full ids of the transactions that had not ended, with their parts, of which a snapshot does not tell."""
        told = {xid for xid in snapshot.open if xid not in own}
        if not told:
            return ()
        # A part has a later id than what it is a part of: none is older than the oldest that the snapshot tells.
        oldest = min(told)
        known = (xid for xid in since.open if xid >= oldest)
        candidates = {*known, *range(max(since.following, oldest), snapshot.following)} - {*since.own, *own}
        open_ = _in_progress(self.connection, candidates)
        # When one has ended meanwhile, its parts cannot be known any more. None of these wrote rows of the baseline.
        if ended := told - open_:
            open_ |= {xid for xid in candidates if xid >= min(ended)}
        return tuple(sorted(open_))

    def changes(self, since: Mark, until: Moment) -> Changes:
        """What was written between two moments, found in the way that suits what was written."""
        if self.wal_guided is not None:
            self._way = self.wal_guided
            found = self.wal_guided.changes(since, until)
            if found is not None:
                return found
            # Before asking: what those who have ended by now wrote is seen then.
            self._is_written_to = bool(until.open) and sessions.may_be_written_to(self.connection)
        self._way = self.probes
        if aborted.is_all(self.connection, since, until):
            return self.probes.sequences()
        return self.probes.changes(since, until)

    def remember(self, moment: Moment, own: tuple[int, ...]) -> Mark:
        """The mark for a database that was made pristine.

        Args:
            moment: When it was looked at.
            own: Full ids of all our transactions since.
        """
        is_told = True
        self._stop_reading()
        if self.wal_guided is not None:
            if self._way is self.wal_guided:
                self.wal_guided.remember()
            else:
                # Probes do not see what open transactions wrote; nor does the WAL tell from here on. Those in other
                # databases can have written to what all databases share, and to nothing else of ours.
                is_told = not (moment.open and self._is_written_to)
                xids = [snapshots.lower(xid) for xid in moment.open]
                self.wal_guided.suspect((oid, xid) for oid in SHARED for xid in xids)
        foretold = moment.snapshot.after(own)
        return Mark(moment.snapshot.following, moment.open, foretold, moment.position, is_told, own)

    def _stop_reading(self) -> None:
        """Go on with the connection that restores alone."""
        if self.reading is not None:
            self.probes.connection = self.schema.connection = self.large_objects.connection = self.connection
            self.reading.close()
            self.reading = None

    def remove_large_objects(self, written: Written) -> list[str]:
        """Remove those that a test made; gives them in words."""
        new = self.large_objects.new()
        if new:
            with self.connection.transaction():
                large_objects.unlink(self.connection, new)
                written.note(self.connection)
        return [f"large object {oid}" for oid in new]

    def refresh(self, view: Relation, written: Written) -> bool:
        """Compute a materialized view anew if it holds something else; gives whether it did.

        Views that it reads were refreshed before: they come first in the baseline.
        """
        if self.holds(view):
            return False
        ending = sql.SQL(" WITH NO DATA" if self.baseline.views[view.oid] is None else "")
        with self.connection.transaction():
            self.connection.execute(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(view.identifier) + ending)
            written.note(self.connection)
        return True

    def holds(self, view: Relation) -> bool:
        """Whether a materialized view holds what it held."""
        before = self.baseline.views[view.oid]
        if not baselines.populated_views(self.connection, [view]):
            return before is None
        return before is not None and baselines.digest(self.connection, view) == before

    def names(self, catalogues: Collection[int]) -> set[str]:
        """All objects that people made which have rows in these catalogues."""
        return self.schema.names(catalogues) if catalogues and not self.connection.closed else set()

    def disconnect(self) -> None:
        """End the connection."""
        self._stop_reading()
        self.connection.close()

    def close(self) -> None:
        """End the connection and give the baseline up."""
        self.disconnect()
        self.baseline.close()


def _crash(connection: Connection) -> object:
    return connection.execute("SELECT pg_stat_get_bgwriter_stat_reset_time()").fetchone()


def _fire(*, replica: bool) -> Sequence[str]:
    """The states of triggers and rules that fire in our role."""
    return silence.IN_REPLICA_ROLE if replica else silence.IN_ORIGIN_ROLE
