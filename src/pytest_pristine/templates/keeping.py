"""Databases of failed tests: put aside as the tests left them, instead of being undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from pytest_pristine import clock
from pytest_pristine.postgres import databases, marks, names
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database
from pytest_pristine.postgres.marks import Mark

# Days after which `pristine prune` drops one.
AGE = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Aside:
    """Where a database goes that makes room for another, and what becomes of it.

    Attributes:
        name: Its new name.
        mark: Its new mark.
        stays: It is kept; else it is dropped.
    """

    name: str
    mark: Mark
    stays: bool = False


def scratch(mark: Mark) -> Aside:
    """One that is dropped.

    Args:
        mark: Of the database that takes its place.
    """
    return Aside(names.scratch(), Mark(marks.SCRATCH, mark.run, mark.project))


def kept(mark: Mark, test: str) -> Aside:
    """One that is kept.

    Args:
        mark: Of the database that takes its place.
        test: The test that failed in it.
    """
    now = clock.utc().isoformat(timespec="milliseconds")
    return Aside(names.kept(mark.project), replace(mark, kind=marks.KEPT, since=now, test=test), stays=True)


def of_project(connection: Connection, project: str) -> list[Database]:
    """The databases that were kept of a project, the latest first."""
    return [database for database in latest(connection) if database.mark.project == project]


def latest(connection: Connection) -> list[Database]:
    """All databases that were kept on a server, the latest first."""
    found = (database for database in databases.ours(connection) if database.mark.kind == marks.KEPT)
    return sorted(found, key=lambda database: database.mark.since, reverse=True)


def has_room(connection: Connection, mark: Mark, test: str, limit: int) -> bool:
    """Whether this run may keep one of a test: the first tests of a run that fail tell most."""
    run = [each for each in of_project(connection, mark.project) if each.mark.run == mark.run]
    # What this test left when it was run before makes room.
    return sum(1 for each in run if each.mark.test != test) < limit


def drop_others(connection: Connection, latest: Aside, limit: int) -> None:
    """Drop what makes room for one that was just kept: what its test left before, and what is too much of other runs.

    Args:
        connection: To the server's maintenance database.
        latest: The one that was kept.
        limit: How many may be kept of a project.
    """
    mark = latest.mark
    for database in of_project(connection, mark.project):
        if (database.mark.run, database.mark.test) == (mark.run, mark.test) and database.name != latest.name:
            databases.drop(connection, database.name)
    for database in of_project(connection, mark.project)[limit:]:
        if database.mark.run != mark.run:
            databases.drop(connection, database.name)


def outdated(connection: Connection) -> Iterator[Database]:
    """Those that nobody is likely to look at any more."""
    limit = (clock.utc() - AGE).isoformat(timespec="milliseconds")
    return (database for database in latest(connection) if database.mark.since < limit)
