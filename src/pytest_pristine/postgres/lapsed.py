"""Databases of runs that are over: dropped by whoever comes by, as long as nobody can hold them any more."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import psycopg

from pytest_pristine.errors import PristineError
from pytest_pristine.postgres import databases, locks, marks
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database

# Kinds of databases that belong to one run and go with it.
KINDS = (marks.CLONE, marks.SCRATCH)

_log = logging.getLogger("pytest_pristine")


def made_by_runs(connection: Connection) -> Iterator[Database]:
    """All databases of the server that go with their run."""
    return (database for database in databases.ours(connection) if database.mark.kind in KINDS)


def is_over(connection: Connection, database: Database) -> bool:
    """Whether the run of a database has ended, and nobody has dropped it or made it something else."""
    with locks.lapsed(connection, database.mark.run) as over:
        return over and _is_as_it_was(connection, database)


def drop(connection: Connection, run: str | None = None) -> None:
    """Drop the databases of runs that are over.

    Args:
        connection: To the server's maintenance database.
        run: This one is over, whoever holds its lease: the caller.
    """
    for database in sorted(made_by_runs(connection), key=lambda each: each.mark.run != run):
        try:
            drop_one(connection, database, run)
        except LookupError:
            _log.debug("%s was dropped by somebody else meanwhile", database.name)
        except (psycopg.Error, PristineError) as error:
            if connection.closed:
                raise
            # Another role's, say: whoever may drop it does so at the end of a run of theirs.
            _log.warning("%s is over and cannot be dropped: %s", database.name, told(error))


def drop_one(connection: Connection, database: Database, run: str | None = None) -> None:
    """Drop a database whose run is this one or has ended; leave any other alone.

    Raises:
        PristineError: It cannot be dropped.
        psycopg.Error: The same.
        LookupError: It is not there any more.
    """
    if database.mark.run == run:
        databases.drop(connection, database.name)
        return
    with locks.lapsed(connection, database.mark.run) as over:
        # Another run may have dropped it since it was listed, or made it something else.
        if over and _is_as_it_was(connection, database):
            databases.drop(connection, database.name)


def open_again(connection: Connection, name: str) -> bool:
    """Open the database that the user named, if a run that is over has left it closed; gives whether it was.

    Args:
        connection: To the server's maintenance database.
        name: The database.
    """
    found = databases.find(connection, name)
    if found is None or found.mark.kind != marks.TARGET or databases.allows_connections(connection, name):
        return False
    with locks.lapsed(connection, found.mark.run) as over:
        if over:
            databases.allow_connections(connection, name, allow=True)
        return over


def told(error: Exception) -> str:
    """An error within a sentence."""
    said = error.found if isinstance(error, PristineError) else str(error)
    return " ".join(said.split())


def _is_as_it_was(connection: Connection, database: Database) -> bool:
    found = databases.find(connection, database.name)
    return found is not None and (found.oid, found.mark) == (database.oid, database.mark)
