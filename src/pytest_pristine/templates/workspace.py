"""The workspace: the migrated database that one worker works in, leased to it as long as it lives."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.postgres import connections, databases, locks, marks, names, spares
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.templates.template import Builder, retire

_log = logging.getLogger("pytest_pristine")


@dataclass(frozen=True, slots=True)
class Workspace:
    """A migrated database that belongs to this worker.

    Attributes:
        url: Where it is.
        template: The template it was copied from.
    """

    url: URL
    template: str


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
    with connections.connect(url, f"run {run}") as connection:
        locks.take(connection, locks.lease(run))
        builder = Builder(connection, url, migrator, project, run, session, like=target)
        try:
            with builder.template(rebuild=rebuild) as template:
                clone = names.clone(target or f"{names.PREFIX}_{project}", run, worker)
                mark = Mark(marks.CLONE, run, project, template.mark.fingerprint)
                if not spares.take(connection, template, clone, mark):
                    databases.create(connection, clone, mark, template=template.name)
            name = clone
            if target is not None:
                databases.copy_properties(connection, target, clone)
                name = _take_target(connection, target, clone, run, project)
            yield Workspace(url.set(database=name), template.name)
        finally:
            _clean_up(connection, run, project)


def _take_target(connection: Connection, target: str, clone: str, run: str, project: str) -> str:
    """Put the clone in the place of the database that the user named, unless somebody is there.

    Returns:
        The name under which the clone is found.
    """
    if not locks.try_take(connection, locks.target(target)):
        _log.info("another run works in %s: working in %s", target, clone)
        return clone
    aside = names.scratch()
    mark = Mark(marks.TARGET, run, project)
    # What it was goes the way of everything whose run is over, also when this run dies on the next line.
    aside_mark = Mark(marks.SCRATCH, run, project)
    if not databases.exchange(connection, target, mark, clone, aside, aside_mark):
        locks.release(connection, locks.target(target))
        _log.warning("somebody is connected to %s: working in %s instead", target, clone)
        return clone
    databases.drop(connection, aside)
    return target


def _clean_up(connection: Connection, run: str, project: str) -> None:
    """Drop this run's databases, those of runs that died, and templates nobody has needed for long."""
    if connection.closed:
        return
    made = [each for each in databases.ours(connection) if each.mark.kind in (marks.CLONE, marks.SCRATCH)]
    for database in sorted(made, key=lambda each: each.mark.run != run):
        try:
            _drop_if_over(connection, database, run)
        except psycopg.Error as error:
            # Another role's, say: whoever may drop it does so at the end of a run of theirs.
            _log.warning("%s is over and cannot be dropped: %s", database.name, error)
    try:
        retire(connection, project)
    except psycopg.Error as error:
        _log.warning("old templates cannot be dropped: %s", error)


def _drop_if_over(connection: Connection, database: Database, run: str) -> None:
    """Drop a database whose run is this one or has ended."""
    if database.mark.run == run:
        databases.drop(connection, database.name)
        return
    with locks.held_if_free(connection, locks.lease(database.mark.run)) as free:
        # Another run may have dropped it since it was listed, or made it something else.
        if free and databases.find(connection, database.name) == database:
            databases.drop(connection, database.name)
