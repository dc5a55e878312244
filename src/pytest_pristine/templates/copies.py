"""Copies of a template: made, and put in the place of the database that a run has worked in."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine.errors import NotOursError, PristineError, PrivilegeError, RestoreError
from pytest_pristine.postgres import databases, locks, marks, names, properties, sessions, spares
from pytest_pristine.postgres.anchor import Anchor
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.postgres.properties import Properties
from pytest_pristine.templates import ground, keeping
from pytest_pristine.templates.keeping import Aside

_log = logging.getLogger("pytest_pristine")


@dataclass(frozen=True, slots=True)
class Source:
    """What the database of a worker was copied from, and whatever further copies are made of.

    Attributes:
        maintenance: The server's maintenance database.
        mark: The mark of the worker's database, which has the id of the run.
        template: The template.
        wanted: What the worker's database has beside its contents; None for what a new database has.
    """

    maintenance: URL
    mark: Mark
    template: Database
    wanted: Properties | None


def make(connection: Connection, template: Database, name: str, mark: Mark, wanted: Properties | None) -> None:
    """Make a copy of a template, from a spare where there is one. The caller holds the lock of the template.

    Args:
        connection: To the server's maintenance database.
        template: What it is a copy of.
        name: The new database.
        mark: Its mark.
        wanted: What it is given beside the contents; None for a new database's. Settings of migrations come on top.
    """
    if not spares.take(connection, template, name, mark):
        databases.create(connection, name, mark, template=template.name)
    equip(connection, template, name, wanted)


def equip(connection: Connection, template: Database, name: str, wanted: Properties | None) -> None:
    """Give a copy what it has beside its contents: what is wanted, and the settings that migrations made."""
    migrated = properties.read(connection, template.name)
    if wanted is None:
        wanted = migrated
    properties.apply(connection, name, replace(wanted, settings={**wanted.settings, **migrated.settings}))


def remake(
    anchor: Anchor,
    url: URL,
    mark: Mark,
    template: Database,
    wanted: Properties | None,
    ours: int | None,
    *,
    aside: Aside | None = None,
) -> int | None:
    """Make a database anew from its template: same name, same mark. Every session in it is ended.

    The new one is made beside it and takes its place in one transaction: at no moment is there none of that name, and
    whatever is left of a run that dies in the middle carries a mark.

    Args:
        anchor: Holds the locks of the run.
        url: The database.
        mark: Its mark.
        template: What it is a copy of.
        wanted: What it had beside its contents at the start; None for a new database's.
        ours: Its oid, when this run made it: it is ours whatever a test wrote into its COMMENT.
        aside: What becomes of the old one; it is dropped when this is not given.

    Returns:
        The oid of the new one.

    Raises:
        NotOursError: It is another one, without our mark.
        PrivilegeError: A session in it, or a prepared transaction, is another role's and cannot be ended.
        RestoreError: It cannot be made anew for another reason.
    """
    try:
        connection = anchor.alive()
        _check_ours(connection, str(url.database), mark, ours)
        scratch = _make_beside(connection, template, Mark(marks.SCRATCH, mark.run, mark.project), wanted)
        try:
            with databases.patience(connection):
                _replace(connection, url, mark, scratch, ours, aside or keeping.scratch(mark))
        except PristineError:
            if databases.find(connection, scratch) is not None:
                drop(connection, scratch)
            raise
        return databases.oid(connection, str(url.database))
    except psycopg.Error as error:
        raise RestoreError(
            f"to make the database {url.database!r} anew from its template",
            str(error).strip(),
            ["see the server's log"],
        ) from error


def _check_ours(connection: Connection, name: str, mark: Mark, ours: int | None) -> None:
    """Refuse a database that is not this run's; mark anew one that is and has lost its mark."""
    oid, found = databases.oid(connection, name), databases.find(connection, name)
    if oid is None or (found is not None and found.mark.run == mark.run):
        return
    if oid == ours:
        databases.set_mark(connection, name, mark)
        return
    raise NotOursError(
        f"to make the database {name!r} anew from its template",
        "another database of that name, without a mark of ours. Nothing was touched"
        if found is None
        else "another run has taken it over, while this one had no connection. Nothing was touched",
        ["have nothing else make databases of that name while tests run"]
        if found is None
        else ["see the server's log for the reason why the connections ended, and run the tests again"],
    )


def _make_beside(connection: Connection, template: Database, mark: Mark, wanted: Properties | None) -> str:
    """Make a new copy under a name of its own."""
    name = names.scratch()
    with held(connection, template, "to make the worker's database anew") as current:
        make(connection, current, name, mark, wanted)
    return name


@contextmanager
def held(connection: Connection, template: Database, purpose: str) -> Iterator[Database]:
    """Hold the lock of a template, and give it as it is now.

    Raises:
        RestoreError: It is gone.
    """
    with locks.held(connection, locks.build(template.mark.fingerprint)):
        yield ground.current(connection, template, purpose)


def _replace(connection: Connection, url: URL, mark: Mark, scratch: str, ours: int | None, aside: Aside) -> None:
    """Put the new database in the place of the old one, and put that aside."""
    name = str(url.database)
    if databases.oid(connection, name) is None:
        # A test, or another run while we had no connection, dropped it.
        databases.rename(connection, scratch, name)
        databases.set_mark(connection, name, mark)
        return
    with _closed(connection, url):
        if databases.exchange(connection, name, mark, scratch, aside.name, aside.mark):
            if aside.stays:
                databases.allow_connections(connection, aside.name, allow=True)
            else:
                drop(connection, aside.name)
            return
        _check_ours(connection, name, mark, ours)
        raise RestoreError(
            f"to make the database {name!r} anew from its template",
            f"sessions that are in it again:\n"
            f"{sessions.listed(sessions.others(connection, name)) or 'they are gone now'}",
            ["end the threads and processes that a test started, in that test"],
        )


@contextmanager
def _closed(connection: Connection, url: URL) -> Iterator[None]:
    """Keep everybody out of a database: clients such as pools connect again as soon as they are disconnected."""
    name = str(url.database)
    _vacate(connection, url)
    databases.allow_connections(connection, name, allow=False)
    try:
        _vacate(connection, url)
        yield
    except BaseException:
        if databases.oid(connection, name) is not None:
            databases.allow_connections(connection, name, allow=True)
        raise


def _vacate(connection: Connection, url: URL) -> None:
    """End all sessions in a database, and roll back what is prepared in it."""
    name = str(url.database)
    refused = sessions.end(connection, name)
    if refused:
        raise PrivilegeError(
            f"to end the sessions in the database {name!r}, which is made anew",
            f"the role {connection.info.user!r} may not end {sessions.listed(refused)}",
            ["close them: they are none of the tests'"],
        )
    if sessions.roll_back_prepared_in(connection, url):
        # The session that rolled back may be there still.
        sessions.end(connection, name)


def drop(connection: Connection, name: str) -> None:
    """Drop a database; one that cannot be dropped now is left to the end of the run, and it is logged."""
    try:
        databases.drop(connection, name)
    except LookupError:
        _log.debug("%s was dropped by somebody else meanwhile", name)
    except (psycopg.Error, PristineError) as error:
        # Whoever is to mend it has to get in.
        databases.allow_connections(connection, name, allow=True)
        _log.warning("%s is tried again at the end of the run: it cannot be dropped: %s", name, error)
