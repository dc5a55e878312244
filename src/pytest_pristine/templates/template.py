"""The template: one migrated database per fingerprint, built once, sealed, and copied for every worker.

A template is built under a scratch name, renamed when it is whole, and sealed: the seal is the commit marker. What
is not sealed is debris of a build that died, and is dropped. Builders of one template wait for each other on an
advisory lock, so that any number of runs on any number of machines build it once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine.errors import PrivilegeError
from pytest_pristine.migrations import evidence
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.postgres import connections, databases, extensions, locks, marks, names, sessions
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.templates import normalise

# Counts up whenever what we do to a migrated database before sealing it changes, and what we note of it.
FORMAT = 3
# Templates of one project that are kept: the branches a person switches between.
KEPT = 8

# Extensions decide what a migration makes, and their versions come with the server's installation.
_SERVER = """
    SELECT current_setting('server_version_num'), current_user,
           (SELECT md5(string_agg(name || ' ' || default_version, ',' ORDER BY name)) FROM pg_available_extensions)
"""


@dataclass(frozen=True, slots=True)
class Builder:
    """Makes and finds the templates of one project on one server.

    Attributes:
        connection: To the server's maintenance database.
        url: Any database of the server.
        migrator: Makes the schema.
        project: The project's label.
        run: Id of this run, whose lease protects what it is making.
        session: Id of the test session, which may have several workers, each with a run of its own.
        like: The database whose encoding and locale the template gets; None for the server's.
    """

    connection: Connection
    url: URL
    migrator: Migrator
    project: str
    run: str
    session: str
    like: str | None = None

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
            yield self._use(known or self._build(fingerprint), copies)

    def _fingerprint(self) -> str:
        server = self.connection.execute(_SERVER).fetchone()
        locale = databases.locale(self.connection, self.like)
        given = ",".join(sorted(self._given_extensions()))
        return names.digest(str(FORMAT), str(server), str(locale), given, self.project, self.migrator.fingerprint())

    def _find(self, fingerprint: str) -> Database | None:
        """The template whose known and recorded inputs are all as they are now."""
        for database in databases.ours(self.connection):
            mark = database.mark
            if (
                database.sealed
                and (mark.kind, mark.fingerprint) == (marks.TEMPLATE, fingerprint)
                and self.migrator.current(mark.inputs)
            ):
                return database
        return None

    def _use(self, template: Database, copies: int | None) -> Database:
        """Note that the template is used now."""
        mark = replace(
            template.mark,
            used=datetime.now(UTC).isoformat(timespec="milliseconds"),
            copies=copies or template.mark.copies,
        )
        databases.set_mark(self.connection, template.name, mark)
        return template

    def _build(self, fingerprint: str) -> Database:
        scratch = names.scratch()
        mark = Mark(marks.SCRATCH, self.run, self.project, fingerprint)
        databases.create(self.connection, scratch, mark, like=self.like)
        try:
            url = self.url.set(database=scratch)
            given = self._given_extensions()
            self._add_extensions(url, given)
            inputs = self.migrator.migrate(url)
            found = evidence.of(inputs)
            normalise.sequences(url)
            with connections.connect(url, "extensions") as connection:
                created = sorted(extensions.installed(connection) - given)
            mark = replace(
                mark,
                kind=marks.TEMPLATE,
                run=self.session,
                inputs=dict(inputs),
                created=created,
                migrated={} if found is None else found.as_dict(),
            )
            return self._seal(scratch, mark)
        except BaseException as error:
            try:
                databases.drop(self.connection, scratch)
            except (psycopg.Error, LookupError) as second:
                # It bears a mark of this run: whoever cleans up after the run drops it.
                error.add_note(f"and {scratch} could not be dropped: {second}")
            raise

    def _given_extensions(self) -> frozenset[str]:
        """The extensions that somebody installed for us in the database that the user named.

        A copy of an earlier template may have taken its place: what migrations created in that is not given.
        """
        if self.like is None:
            return frozenset()
        named = databases.find(self.connection, self.like)
        created = [] if named is None else named.mark.created
        with connections.connect(self.url.set(database=self.like), "extensions") as connection:
            return extensions.installed(connection).difference(created)

    def _add_extensions(self, url: URL, given: frozenset[str]) -> None:
        if not given:
            return
        with connections.connect(url, "extensions") as connection:
            for name in sorted(given):
                statement = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(sql.Identifier(name))
                try:
                    connection.execute(statement)
                except psycopg.errors.InsufficientPrivilege:
                    raise PrivilegeError(
                        f"a schema with the extension {name}, which {self.like} has",
                        f"the role {connection.info.user!r} may not install it",
                        ["connect as a superuser, or have the extension marked as trusted"],
                    ) from None

    def _seal(self, scratch: str, mark: Mark) -> Database:
        """Turn a finished scratch database into a template, in one transaction."""
        inputs = sorted(f"{name} {digest}" for name, digest in mark.inputs.items())
        name = names.template(self.project, names.digest(mark.fingerprint, *inputs))
        if databases.find(self.connection, name) is not None:
            # Inputs changed and changed back while another template was current; the old one is as good.
            databases.drop(self.connection, name)
        # Migrations may leave a pool connected.
        sessions.end(self.connection, scratch)
        with self.connection.transaction():
            databases.set_mark(self.connection, scratch, mark)
            databases.rename(self.connection, scratch, name)
            databases.seal(self.connection, name)
        sealed = databases.find(self.connection, name)
        if sealed is None:
            raise LookupError(f"no template {name!r}, which was sealed just now")
        return sealed


def retire(connection: Connection, project: str) -> None:
    """Drop the templates of a project that were not used for longest, beyond the number kept.

    One whose copies are there stays: the run that has them may need it.
    """
    known = list(databases.ours(connection))
    copied = {database.mark.fingerprint for database in known if database.mark.kind in (marks.CLONE, marks.TARGET)}
    templates = [
        database
        for database in known
        if database.mark.kind == marks.TEMPLATE
        and database.mark.project == project
        and database.mark.fingerprint not in copied
    ]
    latest_first = sorted(templates, key=lambda database: database.mark.used, reverse=True)
    for database in latest_first[KEPT:]:
        with locks.held_if_free(connection, locks.build(database.mark.fingerprint)) as free:
            if free:
                with contextlib.suppress(LookupError):  # somebody else was faster
                    databases.drop(connection, database.name)
