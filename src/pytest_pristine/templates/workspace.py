"""The workspace: the migrated database that one worker works in, leased to it as long as it lives."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine.errors import PristineError
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.postgres import databases, locks, marks, names, properties, sessions
from pytest_pristine.postgres.anchor import Anchor
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.postgres.properties import Properties
from pytest_pristine.templates import copies
from pytest_pristine.templates.template import Builder, retire

_log = logging.getLogger("pytest_pristine")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A migrated database that belongs to this worker.

    Attributes:
        url: Where it is.
        template: The template it was copied from; None where the role may make no databases, and works in the one
            that the user named.
        rebuild: Makes the database anew, as it was when it was handed out: same URL, contents, settings and grants.
            Every session in it is ended, those of the caller too. It raises `PristineError` when it cannot.
    """

    url: URL
    template: str | None
    rebuild: Callable[[], None] = field(repr=False, compare=False)


@dataclass
class _Copy:
    """The database that a worker works in; see `copies.remake`."""

    anchor: Anchor
    url: URL
    mark: Mark
    template: Database
    wanted: Properties | None
    oid: int | None

    def rebuild(self) -> None:
        """Make it anew."""
        self.oid = copies.remake(self.anchor, self.url, self.mark, self.template, self.wanted, self.oid)


@contextmanager
def lease(
    url: URL,
    target: str | None,
    migrator: Migrator,
    *,
    project: str,
    session: str,
    worker: str,
    rebuild: bool = False,
) -> Iterator[Workspace]:
    """A migrated database for one worker, given up at the end of the context.

    It is the database that the user named, if nobody else works in it; else one of our own beside it. A run holds a
    session lock as long as it lives: databases whose run holds none are dropped at the end of any later run.

    Args:
        url: The server's maintenance database.
        target: The database that the user named, which is ours.
        migrator: Makes the schema.
        project: The project's name.
        session: Id of the test session, which all its workers share.
        worker: The worker's name: `main`, `gw0`.
        rebuild: Migrate from nothing, whatever earlier sessions left.

    Raises:
        MigrationError: The migrations failed.
    """
    run = secrets.token_hex(4)
    project = names.label(project)
    with closing(Anchor(url, f"run {run}")) as anchor:
        anchor.hold(locks.lease(run))
        connection = anchor.connection
        builder = Builder(connection, url, migrator, project, run, session, like=target)
        try:
            wanted = None if target is None else properties.read(connection, target)
            name = names.clone(target or f"{names.PREFIX}_{project}", run, worker)
            with builder.template(rebuild=rebuild) as template:
                mark = Mark(marks.CLONE, run, project, template.mark.fingerprint)
                copies.make(connection, template, name, mark, wanted)
            target_mark = Mark(marks.TARGET, run, project, created=template.mark.created)
            if target is not None and _take_target(anchor, target, target_mark, name):
                name, mark = target, target_mark
            at = url.set(database=name)
            copy = _Copy(anchor, at, mark, template, wanted, databases.oid(connection, name))
            yield Workspace(at, template.name, copy.rebuild)
        finally:
            _clean_up(anchor, url, run, project)


def _take_target(anchor: Anchor, target: str, mark: Mark, clone: str) -> bool:
    """Put the clone in the place of the database that the user named, unless somebody is there.

    Returns:
        Whether it was done; if not, the clone is where it was.
    """
    connection = anchor.connection
    if not anchor.hold(locks.target(target)):
        _log.info("another run works in %s: working in %s", target, clone)
        return False
    aside = names.scratch()
    # What it was goes the way of everything whose run is over, also when this run dies on the next line.
    if not databases.exchange(connection, target, mark, clone, aside, Mark(marks.SCRATCH, mark.run, mark.project)):
        anchor.release(locks.target(target))
        _log.warning("somebody is connected to %s: working in %s instead", target, clone)
        return False
    copies.drop(connection, aside)
    return True


def _clean_up(anchor: Anchor, url: URL, run: str, project: str) -> None:
    """Drop this run's databases, those of runs that died, and templates nobody has needed for long."""
    try:
        connection = anchor.alive()
    except PristineError as error:
        # Whoever runs next on the server does it.
        _log.debug("nothing is cleaned up: %s", error.found)
        return
    made = [each for each in databases.ours(connection) if each.mark.kind in (marks.CLONE, marks.SCRATCH)]
    for database in sorted(made, key=lambda each: each.mark.run != run):
        try:
            drop_if_over(connection, url, database, run)
        except (psycopg.Error, PristineError) as error:
            # Another role's, say: whoever may drop it does so at the end of a run of theirs.
            _log.warning("%s is over and cannot be dropped: %s", database.name, error)
    try:
        retire(connection, project)
    except psycopg.Error as error:
        _log.warning("old templates cannot be dropped: %s", error)


def drop_if_over(connection: Connection, url: URL, database: Database, run: str) -> None:
    """Drop a database whose run is this one or has ended; leave any other alone."""
    if database.mark.run == run:
        _drop(connection, url, database)
        return
    with locks.held_if_free(connection, locks.lease(database.mark.run)) as free:
        # Another run may have dropped it since it was listed, or made it something else.
        if free and databases.find(connection, database.name) == database:
            _drop(connection, url, database)


def _drop(connection: Connection, url: URL, database: Database) -> None:
    # A transaction that a test left prepared would keep the database for ever.
    sessions.roll_back_prepared_in(connection, url.set(database=database.name))
    databases.drop(connection, database.name)
