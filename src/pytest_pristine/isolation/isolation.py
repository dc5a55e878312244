"""Isolation: the database is pristine, a test writes what it likes, the database is pristine again."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine import clock
from pytest_pristine.errors import (
    PristineError,
    RestoreBlockedError,
    RestoreError,
    UnprovenError,
    UnreachableError,
)
from pytest_pristine.isolation import blockers, description, gate, restore, restore_as_owner, schema, undoing
from pytest_pristine.isolation.catalogue import TABLE, Coverage, Relation
from pytest_pristine.isolation.changes import Changes, Mark, Moment
from pytest_pristine.isolation.freshness import EVERYTHING, Fresh
from pytest_pristine.isolation.leftovers import Leftovers, Treatment
from pytest_pristine.isolation.opening import BLOCKED, Opener
from pytest_pristine.isolation.proof import OFF, Proof
from pytest_pristine.isolation.recordings import Recording, Recordings
from pytest_pristine.isolation.restored import Restored, Spoiled
from pytest_pristine.isolation.undoing import Made, Restorer
from pytest_pristine.isolation.watch import Watch
from pytest_pristine.postgres.capabilities import Capabilities
from pytest_pristine.postgres.connections import Connection

# Seconds between two looks at somebody who blocks.
_INTERVAL = 0.005
# The first major version in which a session can be told to tell what it counted.
_FIRST_WITH_FLUSH = 15

_log = logging.getLogger("pytest_pristine")


def _nothing(_: Connection) -> None:
    """Nobody else can have the database."""


class Isolation:
    """Restores a database to the state it was in when this object was made.

    It works on a connection of its own, and leaves nothing in the database: no table, no function, no trigger. What
    cannot be put back, a changed schema above all, is made anew.
    """

    _watch: Watch
    _mark: Mark
    _restorer: Restorer

    def __init__(  # noqa: PLR0913 - each is given by name, and half of them have a default
        self,
        url: URL,
        coverage: Coverage,
        *,
        capabilities: Capabilities,
        timeout: float,
        rebuild: Callable[[], None],
        hold: Callable[[Connection], None] = _nothing,
        proof: str = OFF,
        uncounted: bool = False,
    ) -> None:
        """Record the baseline.

        Args:
            url: The database under test.
            coverage: Which tables to look after.
            capabilities: What the server offers to our role.
            timeout: Seconds to wait for a lock.
            rebuild: Makes the database anew, as it was before anybody worked in it, and ends all sessions in it.
            hold: Has a connection keep the database ours; it raises `RestoreError` when it is another run's.
            proof: How often restores are proven; see `Proof`.
            uncounted: The server is to count nothing of what we do, where our role may say so; see `tell_counts`.

        Raises:
            SettingError: The coverage cannot be met.
            PrivilegeError: What it covers belongs to another role.
            RestoreBlockedError: Another session holds a lock.
        """
        self._url = url
        self._coverage = coverage
        self._opener = Opener(url, capabilities, timeout, hold, uncounted)
        self._replica = capabilities.replica
        self._timeout = timeout
        self._rebuild = rebuild
        self._pid = os.getpid()
        # One test's fixtures may run in another thread than the next one's.
        self._lock = threading.Lock()
        self._ended = False
        self._listeners: list[Callable[[], None]] = []
        self._is_spoiled = False
        self._leftovers = Leftovers(timeout, self._tell)
        # The oid of the template that the database is known to be a copy of.
        self._contents: Hashable = None
        self._recordings = Recordings()
        self._take(self._opener.record(self._begin(), coverage))
        self.proof = Proof(proof, self._watch.manifest(digests=proof != OFF))

    @property
    def tables(self) -> int:
        """How many tables are looked after."""
        return len(self._watch.baseline.of_kind(TABLE))

    def on_ended_sessions(self, listener: Callable[[], None]) -> None:
        """Have a function called whenever sessions of others in the database were ended: what pools hold is dead."""
        self._listeners.append(listener)

    def prepare(self) -> Restored:
        """Restore before a test: what it finds is not the test's, and advisory locks that are held are none of its.

        Whoever has a transaction open that wrote something, and does nothing more, is ended.

        Raises:
            RestoreError: The database cannot be made pristine.
        """
        return self._log(self._timed(self._leftovers.accept, ""))

    def restore(self, test: str = "") -> Restored:
        """Put back whatever was committed since the last restore, and log what it was.

        Args:
            test: Whose it was.

        Returns:
            What was put back. It also says what a test should not have done: `remade` that it changed the schema,
            `leftovers` that it left a prepared transaction, or a session that holds an advisory lock.

        Raises:
            RestoreBlockedError: Another session holds a lock; it was ended, and the database made anew.
            RestoreError: The database cannot be made pristine.
        """
        return self._log(self._timed(self._leftovers.remove, test))

    def describe(self) -> description.Description:
        """What was committed since the last restore; nothing is put back.

        Raises:
            RestoreError: Somebody keeps everybody out of a table.
            psycopg.Error: It cannot be told.
        """
        with self._lock:
            self._leave_to_parent()
            look = self._watch.look(self._mark)
            if look.blocking:
                raise blockers.explain(self._watch.connection, 0, pids=[int(who.split()[0]) for who in look.blocking])
            if not look.moved and look.snapshot == self._mark.foretold:
                return description.Description()
            moment = self._watch.moment(look, self._mark)
            changes = self._watch.changes(self._mark, moment)
            large = self._watch.large_objects
            if changes.large_objects and not (large.new() or large.altered()):
                changes = replace(changes, large_objects=False)  # they may be different, and are not
            fresh = self._mark.fresh(moment.own)
            return description.describe(self._watch.connection, self._watch.baseline, changes, fresh)

    def prove(self, *, last: bool = False) -> list[str]:
        """Compare the database with what it held, whatever restores believe.

        Args:
            last: Also compare the catalogues, and all content however large.

        Returns:
            What others wrote since it was restored, in words: the next restore puts it back.

        Raises:
            UnprovenError: It was not put back. The database was made anew.
            psycopg.Error: It cannot be told.
        """
        with self._lock, self.proof.timed():
            self._leave_to_parent()
            before, watch = self._watch.gate.look(), self._watch
            differences = (
                watch.differences(self.proof.manifest) if last else self.proof.manifest.differences(watch.connection)
            )
            if not differences:
                self.proof.proven += 1
                return []
            told = self.proof.told(differences)
            missed = any(self._mark.precedes(writer) for each in differences for writer in each.writers)
            after = watch.gate.look()
            alone = before.snapshot == self._mark.foretold == after.snapshot
            if not missed and (not alone or after.snapshot.open or before.moved or after.moved):
                return told
            self._make_anew(frozenset())
            raise UnprovenError(
                f"the database {self._url.database!r} as it was, after it was restored",
                "\n".join(told),
                ["report it: a restore has missed something", "--pristine-proof=always finds it after the very test"],
            )

    def put_aside(self, keep: Callable[[], bool]) -> None:
        """Have the database kept as it is, and another one made in its place.

        Args:
            keep: Does that, and gives whether it did. If it did not, the database is made anew.

        Raises:
            RestoreError: It cannot be done.
        """
        with self._lock:
            self._leave_to_parent()
            self._make_anew(frozenset(), lambda: None if keep() else self._rebuild())

    def move_to(self, make: Callable[[], Hashable]) -> None:
        """Have a database with other contents made in the place of this one: these are what is restored from now on.

        Args:
            make: Makes it, and ends all sessions in the old one. From then on `rebuild` makes the new one again. When
                it raises, `rebuild` makes the old one, and tests are restored to that. It gives the oid of the template
                that the new one is a copy of, or None: a copy of one that was here before is not recorded again.

        Raises:
            PristineError: It cannot be made, or not be restored.
        """
        with self._lock:
            self._leave_to_parent()
            self._is_spoiled = True
            before = self._watch
            before.disconnect()
            try:
                contents = make()
            finally:
                self._tell()
            recording = self._recording(contents)
            self._recordings.keep(self._contents, Recording(before, self.proof.manifest))
            self._contents, self.proof.manifest = contents, recording.manifest
            self._take(recording.watch)
            self._leftovers.forget_locks()
            self._is_spoiled = False

    def _recording(self, contents: Hashable) -> Recording:
        """What the database holds that was made now: read, unless it is known from before."""
        connection, known = self._opener.restoring(), self._recordings.take(contents)
        if known is not None:
            return Recording(self._opener.resume(connection, known.watch), known.manifest)
        watch = self._opener.record(connection, self._coverage)
        try:
            return Recording(watch, watch.manifest(digests=self.proof.mode != OFF))
        except BaseException:
            watch.close()
            raise

    def made_beside(self) -> Restored:
        """What there was, when this was made, beside what `rebuild` makes; the database is made anew for it.

        Raises:
            RestoreError: It cannot be made anew, or not as it was.
        """
        with self._lock:
            self._leave_to_parent()
            return self._make_anew(frozenset()).beside

    def tell_counts(self) -> None:
        """Have our sessions tell the server now what they counted, where they must count and it can be told."""
        if self._opener.can.superuser or self._opener.can.major < _FIRST_WITH_FLUSH:
            return
        with self._lock:
            for connection in filter(None, (self._watch.connection, self._watch.reading)):
                if not connection.closed:
                    connection.execute("SELECT pg_stat_force_next_flush()")

    def close(self) -> None:
        """End the connection and give the baseline up."""
        self._ended = True
        self._recordings.close()
        if os.getpid() == self._pid:  # a fork leaves the connection to its parent
            self._watch.close()

    def _log(self, restored: Restored) -> Restored:
        if restored:
            _log.info("put back %s", restored)
        else:
            _log.debug("nothing to put back")
        return restored

    def _timed(self, treat: Treatment, test: str) -> Restored:
        with self._lock:
            began = clock.now()
            restored = self._restore(treat)
            self.proof.remember(test, self._mark.following)
            self.proof.restoring += clock.now() - began
        return restored

    def _restore(self, treat: Treatment) -> Restored:
        self._leave_to_parent()
        if self._is_spoiled:
            self._make_anew(frozenset())
        self._leftovers.found.clear()
        try:
            return self._put_back(treat)
        except RestoreBlockedError:
            self._make_anew(frozenset())
            raise
        except Spoiled as spoiled:
            names = self._make_anew(spoiled.catalogues).gone
            gone = f"no more {', '.join(names)}" if names else ""
            why = "; ".join(filter(None, [spoiled.why, gone])) or "a change of the catalogues"
            return Restored((), (), tuple(self._leftovers.found), remade=why)

    def _leave_to_parent(self) -> None:
        """In a fork of the process, as in that of a test under pytest-forked, go on with a connection of our own."""
        if os.getpid() != self._pid:
            # Ended here, they would end for the parent.
            self._inherited = (self._watch.connection, self._watch.reading)
            self._watch.reading = None
            self._pid = os.getpid()
            self._reconnect()

    def _put_back(self, treat: Treatment) -> Restored:
        try:
            return self._detect_and_restore(treat)
        except psycopg.OperationalError as error:
            if self._ended:
                raise
            if not self._watch.connection.closed:
                # Out of memory, of disk, of locks: whatever is missing, a restore needs it.
                raise Spoiled(_reason(error)) from error
            # Somebody ended our session, or the server. What it had begun was rolled back.
            self._reconnect()
            return self._detect_and_restore(treat)

    def _detect_and_restore(self, treat: Treatment) -> Restored:
        relations: Sequence[Relation] = self._watch.baseline.relations
        changes = Changes()
        try:
            look = self._look()
            treat(self._watch.connection, look)
            # An open transaction can advance a sequence without ending.
            if look.snapshot == self._mark.foretold and not look.snapshot.open and not look.moved:
                return Restored(leftovers=tuple(self._leftovers.found))
            if self._leftovers.roll_back_prepared(self._watch.connection, look):
                look = self._look()
            moment = self._watch.moment(look, self._mark)
            changes = self._watch.changes(self._mark, moment)
            relations = (*changes.tables, *changes.views, *changes.sequences)
            return self._restore_changes(changes, moment, self._mark.fresh(moment.own))
        except BLOCKED:
            readers = (
                not self._replica or bool(changes.views) or any(t.oid in self._watch.baseline.armed for t in relations)
            )
            raise blockers.explain(self._watch.connection, self._timeout, relations, readers=readers) from None
        except psycopg.OperationalError:
            raise
        except psycopg.DatabaseError as error:
            # A relation is not what it was, belongs to somebody else now, is written to by a rule, ...
            raise Spoiled(_reason(error)) from error

    def _look(self) -> gate.Look:
        """Look at the server, and wait for those who keep everybody out of a table.

        It does not matter whether we would write to the table: the next test may, and wait for ever.
        """
        look = self._watch.look(self._mark)
        blocking, deadline = look.blocking, clock.now() + self._timeout
        while blocking:
            if clock.now() > deadline:
                pids = [int(who.split()[0]) for who in blocking]
                raise blockers.explain(self._watch.connection, self._timeout, pids=pids)
            time.sleep(_INTERVAL)
            look = self._watch.gate.look()
            blocking &= look.blocking
        return look

    def _restore_changes(self, changes: Changes, moment: Moment, fresh: Fresh) -> Restored:
        undone = undoing.undo(self._watch, self._restorer, self._mark, changes, moment, fresh)
        self._mark = undone.mark
        return replace(undone.restored, leftovers=tuple(self._leftovers.found))

    def _make_anew(self, catalogues: frozenset[int], rebuild: Callable[[], None] | None = None) -> Made:
        """Have the database made anew, and find everything in it again.

        Args:
            catalogues: Oids of the catalogues that held other rows.
            rebuild: Makes it, if in another way than usual.

        Raises:
            RestoreError: It cannot be made anew, or not as it was.
        """
        self._is_spoiled = True
        before = self._watch.names(catalogues)
        self._watch.disconnect()
        try:
            (rebuild or self._rebuild)()
        finally:
            self._tell()
        connection = self._opener.restoring()
        try:
            self._watch = self._watch.move(connection, self._coverage, self._url)
        except BaseException:
            connection.close()
            raise
        self._mark = self._watch.mark
        self.proof.manifest = self.proof.manifest.moved_to(self._watch.baseline)
        self._leftovers.forget_locks()
        gone = schema.most_telling(self._watch.names(catalogues) - before)
        try:
            moment = self._watch.moment(self._watch.gate.look(), self._mark)
            beside = self._restore_changes(self._watch.compare(), moment, EVERYTHING)
        except BLOCKED:
            raise blockers.explain(self._watch.connection, self._timeout) from None
        except (Spoiled, psycopg.DatabaseError) as error:
            raise RestoreError(
                f"to make the database {self._url.database!r} anew as it was",
                error.why if isinstance(error, Spoiled) else _reason(error),
                ["make what cannot be made twice the same, or leave it alone: pristine_exclude"],
            ) from error
        self._is_spoiled = False
        return Made(gone, beside)

    def _take(self, watch: Watch) -> None:
        """Take what was recorded as what to restore."""
        self._watch, self._mark = watch, watch.mark
        as_owner = not self._replica or watch.has_hidden
        self._restorer = restore_as_owner.restore if as_owner else restore.restore

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()

    def _begin(self) -> Connection:
        """The first connection. If the server died since it made the database, that is made again: it was not used."""
        try:
            return self._opener.restoring()
        except UnreachableError as error:
            try:
                self._rebuild()
            except PristineError:
                raise error from None
        return self._opener.restoring()

    def _reconnect(self) -> None:
        try:
            connection = self._opener.restoring()
        except UnreachableError as error:
            raise Spoiled(f"there is no connection to be had: {error.found}") from None
        crashed = self._watch.has_crashed(connection)
        # Also after a crash, for what it takes to make the database anew.
        self._watch = self._watch.reconnected(connection)
        if crashed:
            raise Spoiled("the server crashed")
        self._mark = replace(self._mark, foretold=None, is_told=False)


def _reason(error: psycopg.Error) -> str:
    """What the server said, in a line."""
    _log.debug("a restore failed", exc_info=error)
    said = str(error).strip().splitlines()
    return f"{said[0] if said else type(error).__name__} ({error.sqlstate or 'no SQLSTATE'})"
