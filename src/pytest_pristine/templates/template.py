"""The template: one database per fingerprint, built once, sealed, and copied for every worker.

What it is built on, and what is done on it, are given: migrations on an empty database, or data on another template.

A template is built under a scratch name, renamed when it is whole, and sealed: the seal is the commit marker. What
is not sealed is debris of a build that died, and is dropped. Builders of one template wait for each other on an
advisory lock, so that any number of runs on any number of machines build it once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine import clock
from pytest_pristine.errors import MigrationError, PristineError
from pytest_pristine.migrations import evidence
from pytest_pristine.migrations.fingerprint import Inputs
from pytest_pristine.migrations.footing import Footing
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.postgres import connections, databases, extensions, locks, marks, names, sessions
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.templates import normalise
from pytest_pristine.templates.ground import Ground

if TYPE_CHECKING:
    from pytest_pristine.migrations.growing import Growing

# Counts up whenever what we do to a database before sealing it changes, and what we note of it.
FORMAT = 4

_log = logging.getLogger("pytest_pristine")


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes and finds the templates of one project on one server.

    Attributes:
        connection: To the server's maintenance database.
        url: Any database of the server.
        ground: What they are built on.
        migrator: Makes the schema, or what else is built on the ground.
        project: The project's label.
        run: Id of this run, whose lease protects what it is making.
        session: Id of the test session, which may have several workers, each with a run of its own.
        loader: What loads a layer, for people; empty for migrations.
        grows: Apply the rest of a history on top of what a shorter one made, where that gives the same.
    """

    connection: Connection
    url: URL
    ground: Ground
    migrator: Migrator
    project: str
    run: str
    session: str
    loader: str = ""
    grows: bool = False

    @contextmanager
    def template(self, copies: int | None, *, rebuild: bool = False) -> Iterator[Database]:
        """The sealed template for the project as it is now, built if need be; nobody drops it within the context.

        Args:
            copies: How many the next run will need; None for as many as it was noted already.
            rebuild: Build it even if an earlier session did.

        Raises:
            MigrationError: The migrations failed.
        """
        fingerprint = self._fingerprint()
        with locks.held(self.connection, locks.build(fingerprint)):
            known = self._find(fingerprint)
            if known is not None and rebuild and known.mark.run != self.session:
                databases.drop(self.connection, known.name)
                known = None
            yield self._use(known or self._grow(fingerprint, rebuild=rebuild) or self._build(fingerprint), copies)

    def _fingerprint(self) -> str:
        return names.digest(str(FORMAT), *self.ground.identity(), self.project, self.migrator.fingerprint())

    def _find(self, fingerprint: str) -> Database | None:
        """The template whose known and recorded inputs are all as they are now."""
        for database in databases.ours(self.connection):
            mark = database.mark
            if (
                database.sealed
                and (mark.kind, mark.fingerprint) == (self.ground.kind, fingerprint)
                and self.migrator.current(mark.inputs)
                # Whoever switches it off does not trust what came of it.
                and not (mark.grown and self._history() is None)
            ):
                return database
        return None

    def _use(self, template: Database, copies: int | None) -> Database:
        """Note that the template is used now."""
        mark = replace(
            template.mark,
            used=clock.utc().isoformat(timespec="milliseconds"),
            copies=copies or template.mark.copies,
        )
        databases.set_mark(self.connection, template.name, mark)
        return template

    def _grow(self, fingerprint: str, *, rebuild: bool) -> Database | None:
        """The template built on that of a shorter history; None where there is none on which it can be."""
        history = self._history()
        if rebuild or history is None:
            return None
        from pytest_pristine.templates import growth  # see _history

        stem = self._stem(history)
        step = growth.longest(self.connection, self.project, stem, history)
        if step is None:
            return None
        try:
            return self._make(fingerprint, step.ground(self.connection), step.migrate, stem, step.name)
        except (PristineError, psycopg.Error) as error:
            # Whatever it was: if it is the history's fault, building from nothing tells it as it always did.
            _log.info("not built on %s, but from nothing: %s", step.template.name, error)
            return None

    def _history(self) -> Growing | None:
        """The history, if it may have grown, and what there was before is to be used."""
        if not self.grows:
            return None
        # A worker, which builds nothing, does not pay for what runs migrations.
        from pytest_pristine.migrations.growing import Growing

        return Growing.of(self.migrator)

    def _stem(self, history: Growing) -> str:
        return names.digest(str(FORMAT), *self.ground.identity(), self.project, history.stem())

    def _build(self, fingerprint: str) -> Database:
        """The template built from nothing."""
        history, migrate = self._history(), self.migrator.migrate
        if history is not None:
            try:
                return self._make(fingerprint, self.ground, migrate, self._stem(history), lambda _: "")
            except MigrationError as error:
                # Nobody's migrations may fail for being watched. If they fail anyway, it is told as it always was.
                _log.info("run once more, not watched: %s", error)
                migrate = history.unwatched().migrate
        return self._make(fingerprint, self.ground, migrate, "", lambda _: "")

    def _make(
        self,
        fingerprint: str,
        ground: Ground,
        migrate: Callable[[URL], Inputs],
        stem: str,
        called: Callable[[Footing | None], str],
    ) -> Database:
        scratch = names.scratch()
        mark = Mark(marks.SCRATCH, self.run, self.project, fingerprint)
        ground.lay(scratch, mark)
        try:
            url = self.url.set(database=scratch)
            given = ground.equip(url)
            inputs = migrate(url)
            found, footing = evidence.of(inputs), evidence.footing_of(inputs)
            normalise.sequences(url)
            with connections.connect(url, "extensions") as connection:
                created = sorted(extensions.installed(connection) - given)
            mark = replace(
                mark,
                kind=ground.kind,
                run=self.session,
                inputs=dict(inputs),
                created=created,
                migrated={} if found is None else found.as_dict(),
                below=ground.below,
                loader=self.loader,
                stem="" if footing is None else stem,
                footing={} if footing is None else footing.as_dict(),
                grown=called(footing),
            )
            return self._seal(scratch, mark)
        except BaseException as error:
            try:
                databases.drop(self.connection, scratch)
            except (psycopg.Error, LookupError) as second:
                # It bears a mark of this run: whoever cleans up after the run drops it.
                error.add_note(f"and {scratch} could not be dropped: {second}")
            raise

    def _seal(self, scratch: str, mark: Mark) -> Database:
        """Turn a finished scratch database into a template, in one transaction."""
        inputs = sorted(f"{name} {digest}" for name, digest in mark.inputs.items())
        name = names.template(self.project, names.digest(mark.fingerprint, *inputs))
        if databases.find(self.connection, name) is not None:
            # Inputs changed and changed back while another template was current; the old one is as good.
            databases.drop(self.connection, name)
        # Migrations may leave a pool connected, and a loader a transaction prepared: nobody could copy it then.
        sessions.end(self.connection, scratch)
        if sessions.roll_back_prepared_in(self.connection, self.url.set(database=scratch)):
            sessions.end(self.connection, scratch)
        with self.connection.transaction():
            databases.set_mark(self.connection, scratch, mark)
            databases.rename(self.connection, scratch, name)
            databases.seal(self.connection, name)
        sealed = databases.find(self.connection, name)
        if sealed is None:
            raise LookupError(f"no template {name!r}, which was sealed just now")
        return sealed
