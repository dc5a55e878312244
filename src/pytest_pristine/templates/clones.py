"""Copies of a template for one test each: made, looked after, kept and dropped."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import psycopg
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from pytest_pristine.errors import PristineError
from pytest_pristine.postgres import databases, locks, marks, names, sessions, urls
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.handed import Opened
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.templates import copies, keeping
from pytest_pristine.templates.copies import Source
from pytest_pristine.templates.fresh import FreshDatabase

_log = logging.getLogger("pytest_pristine")


@dataclass(frozen=True, slots=True)
class Clone:
    """A copy that was made for one test.

    Attributes:
        fresh: What the test is given.
        mark: Its mark.
        oid: Its oid: it is ours whatever the test writes into its COMMENT.
        source: What it is a copy of.
    """

    fresh: FreshDatabase
    mark: Mark
    oid: int | None
    source: Source

    def is_of(self, source: Source) -> bool:
        """Whether it is what a copy of a source would be."""
        own = self.source
        # A template that was built anew may have the name of the one before.
        return (own.template.oid, own.template.name, own.wanted) == (
            source.template.oid, source.template.name, source.wanted,
        )  # fmt: skip


def make(connection: Connection, source: Source, url: URL, engine: Callable[[URL], Engine], *, opened: bool) -> Clone:
    """Make one, and connect to it for the first time, which takes longest.

    Args:
        connection: To the server's maintenance database.
        source: What it is a copy of.
        url: Any database of the server, as tests reach it.
        engine: Makes its engine.
        opened: Leave the connection open, for the engine.

    Raises:
        RestoreError: The template is gone.
        NoRoomError: The server's disk is full.
    """
    name = names.fresh(source.mark.project, source.mark.run)
    given = replace(source.mark, kind=marks.CLONE, created=[])
    with copies.held(connection, source.template, "to make a database of it for one test") as template:
        databases.create(connection, name, given, template=template.name)
        copies.equip(connection, template, name, source.wanted)
    at = url.set(database=name)
    waiting = _warm(at, opened=opened)
    return Clone(FreshDatabase(at, engine, waiting), given, databases.oid(connection, name), source)


def _warm(url: URL, *, opened: bool) -> Opened | None:
    """Connect to a new database for the first time; whoever comes next finds its files read."""
    try:
        waiting = Opened(url)
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own; the test meets them, if they last
        _log.debug("%s: %s", url.database, urls.redact(str(error), url))
        return None
    if opened:
        return waiting
    waiting.close()
    return None


def is_there(connection: Connection, clone: Clone) -> bool:
    """Whether it is there still: a server that died may have lost it."""
    return clone.oid is not None and databases.oid(connection, clone.fresh.name) == clone.oid


def mark(connection: Connection, clone: Clone) -> None:
    """Mark one anew in whose COMMENT the test wrote something: nobody would drop it."""
    if databases.find(connection, clone.fresh.name) is None and is_there(connection, clone):
        databases.set_mark(connection, clone.fresh.name, clone.mark)


def drop(connection: Connection, clone: Clone) -> None:
    """Drop one that nobody needs any more; what cannot be dropped now is left to the end of the run."""
    name = clone.fresh.name
    try:
        mark(connection, clone)
    except (psycopg.Error, PristineError) as error:
        if connection.closed:
            raise
        _log.debug("%s: %s", name, error)
    copies.drop(connection, name)


def keep(connection: Connection, clone: Clone, test: str, limit: int) -> str:
    """Keep one as a failed test left it, if there is room; all sessions in it are ended.

    Returns:
        The name that it has now, or nothing: it was not kept.

    Raises:
        psycopg.Error: It cannot be kept.
        RestoreError: A session in it does not end.
    """
    with locks.held(connection, locks.keeping(clone.mark.project)):
        if not is_there(connection, clone) or not keeping.has_room(connection, clone.mark, test, limit):
            return ""
        aside = keeping.kept(clone.mark, test)
        sessions.end(connection, clone.fresh.name)
        with connection.transaction():
            databases.rename(connection, clone.fresh.name, aside.name)
            databases.set_mark(connection, aside.name, aside.mark)
        keeping.drop_others(connection, aside, limit)
    return aside.name
