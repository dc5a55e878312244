"""The ground: what a template is built on.

Migrations begin with an empty database, or with the template of a history that has grown since; data with another
template.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine.errors import PrivilegeError, RestoreError
from pytest_pristine.postgres import connections, databases, extensions, locks, marks, properties
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database
from pytest_pristine.postgres.marks import Mark

# Extensions decide what a migration makes, and their versions come with the server's installation.
_SERVER = """
    SELECT current_setting('server_version_num'), current_user,
           (SELECT md5(string_agg(name || ' ' || default_version, ',' ORDER BY name)) FROM pg_available_extensions)
"""


class Ground(Protocol):
    """What a template is built on."""

    @property
    def kind(self) -> str:
        """The kind of the templates that are built on it, for their marks."""

    @property
    def below(self) -> str:
        """The oid of the template that it is; empty when it is none."""

    def identity(self) -> tuple[str, ...]:
        """What tells it from any other, and decides what comes of what is built on it."""

    def lay(self, name: str, mark: Mark) -> None:
        """Make a database of it, with a name and a mark."""

    def equip(self, url: URL) -> frozenset[str]:
        """Give that database what it must have before anything is built; gives the extensions that nobody built."""


@dataclass(frozen=True, slots=True)
class Bare:
    """An empty database.

    Attributes:
        connection: To the server's maintenance database.
        url: Any database of the server.
        like: The database whose encoding, locale and extensions it gets; None for the server's.
    """

    connection: Connection
    url: URL
    like: str | None = None

    @property
    def kind(self) -> str:
        """What migrations make on it is a template."""
        return marks.TEMPLATE

    @property
    def below(self) -> str:
        """It stands on nothing."""
        return ""

    def identity(self) -> tuple[str, ...]:
        """The server, the locale, and the extensions that are there beforehand."""
        server = self.connection.execute(_SERVER).fetchone()
        locale = databases.locale(self.connection, self.like)
        return str(server), str(locale), ",".join(sorted(self._given()))

    def lay(self, name: str, mark: Mark) -> None:
        """Make an empty database."""
        databases.create(self.connection, name, mark, like=self.like)

    def equip(self, url: URL) -> frozenset[str]:
        """Create the extensions that somebody installed for us."""
        given = self._given()
        if given:
            with connections.connect(url, "extensions") as connection:
                for name in sorted(given):
                    self._add(connection, name)
        return given

    def _given(self) -> frozenset[str]:
        """The extensions that somebody installed for us in the database that the user named.

        A copy of an earlier template may have taken its place: what migrations created in that is not given.
        """
        if self.like is None:
            return frozenset()
        named = databases.find(self.connection, self.like)
        created = [] if named is None else named.mark.created
        with connections.connect(self.url.set(database=self.like), "extensions") as connection:
            return extensions.installed(connection).difference(created)

    def _add(self, connection: Connection, name: str) -> None:
        statement = sql.SQL("CREATE EXTENSION IF NOT EXISTS {} CASCADE").format(sql.Identifier(name))
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            raise PrivilegeError(
                f"a schema with the extension {name}, which {self.like} has",
                f"the role {connection.info.user!r} may not install it",
                ["connect as a superuser, or have the extension marked as trusted"],
            ) from None


@dataclass(frozen=True, slots=True)
class Sealed:
    """Another template: what is built on it is a layer, which is of no use without it.

    Attributes:
        connection: To the server's maintenance database.
        template: The template.
    """

    connection: Connection
    template: Database

    @property
    def kind(self) -> str:
        """What is loaded on it is a layer."""
        return marks.LAYER

    @property
    def below(self) -> str:
        """The oid of the template: one that was built anew is another one, whatever its name."""
        return str(self.template.oid)

    def identity(self) -> tuple[str, ...]:
        """Its name, which has its own fingerprint in it, and its oid."""
        return self.template.name, self.below

    def lay(self, name: str, mark: Mark) -> None:
        """Make a copy of it.

        Raises:
            RestoreError: It is gone.
        """
        with locks.held(self.connection, locks.build(self.template.mark.fingerprint)):
            databases.create(self.connection, name, mark, template=current(self.connection, self.template).name)

    def equip(self, url: URL) -> frozenset[str]:
        """Give it the settings that migrations made of their database, which CREATE DATABASE does not copy."""
        properties.apply(self.connection, str(url.database), properties.read(self.connection, self.template.name))
        with connections.connect(url, "extensions") as connection:
            return extensions.installed(connection).difference(self.template.mark.created)


# Seconds to wait for those who copy a template.
_PATIENCE = 5


@dataclass(frozen=True, slots=True)
class Shorter(Sealed):
    """The template of a history that has grown since: what is built on it stands by itself, as if on nothing."""

    @property
    def kind(self) -> str:
        """What the rest of the migrations makes of it is a template."""
        return marks.TEMPLATE

    @property
    def below(self) -> str:
        """Nobody needs it any more once it was copied."""
        return ""

    def lay(self, name: str, mark: Mark) -> None:
        """Make a copy of it.

        Two who build on each other's templates do not wait for each other for ever.

        Raises:
            RestoreError: It is gone, or others are busy with it.
        """
        subject = locks.build(self.template.mark.fingerprint)
        if not locks.take_within(self.connection, subject, _PATIENCE):
            raise RestoreError(f"the template {self.template.name!r}, to build on it", "others are busy with it")
        try:
            found = current(self.connection, self.template, "to build on it")
            if found.oid != self.template.oid:
                raise RestoreError(f"the template {found.name!r}, to build on it", "another was made in its place")
            databases.create(self.connection, name, mark, template=found.name)
        finally:
            locks.release(self.connection, subject)


def current(
    connection: Connection, template: Database, purpose: str = "to make the worker's database anew"
) -> Database:
    """A template as it is now: another session may have built it anew, under the same name because of the same inputs.

    Args:
        connection: To the server's maintenance database. It holds the template's lock.
        template: The template as it was.
        purpose: What it is wanted for, for people.

    Raises:
        RestoreError: It is gone.
    """
    found = databases.find(connection, template.name)
    if found is None or not found.sealed:
        raise RestoreError(
            f"the template {template.name!r}, {purpose}",
            "it is gone: another run has dropped it, or the data of the server were lost and made anew",
            ["run the tests again"],
        )
    return found
