"""Spares: copies of templates, made beforehand."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.errors import UnreachableError
from pytest_pristine.postgres import connections, databases, marks, spares
from pytest_pristine.postgres.databases import Database
from pytest_pristine.postgres.marks import Mark

if TYPE_CHECKING:
    from pytest_pristine.postgres.connections import Connection
    from tests.conftest import Server


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    """A connection to the maintenance database; what the test made is dropped at its end."""
    with connections.connect(server.url, "test") as connection:
        before = {database.name for database in databases.ours(connection)}
        yield connection
        for database in databases.ours(connection):
            if database.name not in before:
                databases.drop(connection, database.name)


@pytest.fixture
def template(connection: Connection) -> Database:
    """A sealed template, used later than any other."""
    name = f"pristine_spares_{secrets.token_hex(4)}"
    mark = Mark(marks.TEMPLATE, "", "spares", secrets.token_hex(6), used="9999-01-01")
    databases.create(connection, name, mark)
    databases.seal(connection, name)
    sealed = databases.find(connection, name)
    assert sealed is not None
    return sealed


def spares_of(connection: Connection, template: Database) -> list[str]:
    """The names of a template's spares."""
    found = databases.ours(connection)
    return [each.name for each in found if (each.mark.kind, each.mark.fingerprint) == (marks.SPARE, str(template.oid))]


def test_one_spare_of_a_template(connection: Connection, template: Database) -> None:
    """A template that was used last gets one spare, however often it is asked for, and it is told when there is one."""
    assert spares.prepare(connection)
    (spare,) = spares_of(connection, template)
    assert not spares.prepare(connection)
    assert spares_of(connection, template) == [spare]


@pytest.mark.parametrize(("copies", "expected"), [(3, 3), (50, 8)])
def test_spares_for_workers(connection: Connection, template: Database, copies: int, expected: int) -> None:
    """There are as many as the last run needed, up to eight; when a later one needs fewer, the others go."""
    databases.set_mark(connection, template.name, replace(template.mark, copies=copies))
    assert spares.prepare(connection)
    first = spares_of(connection, template)
    assert len(first) == expected
    assert not spares.prepare(connection)
    databases.set_mark(connection, template.name, replace(template.mark, copies=2))
    assert not spares.prepare(connection)
    assert spares_of(connection, template) == first[:2]


def test_nobody_can_connect_to_a_spare(connection: Connection, template: Database, server: Server) -> None:
    """Until it is taken a spare is what its template is: it takes no connections."""
    spares.prepare(connection)
    (spare,) = spares_of(connection, template)
    with pytest.raises(UnreachableError, match="not currently accepting connections"):
        connections.connect(server.url.set(database=spare), "test")


def test_a_spare_is_taken_once(connection: Connection, template: Database, server: Server) -> None:
    """Taking a spare gives it name, mark and connections; there is none for the next to ask."""
    spares.prepare(connection)
    name = f"pristine_taken_{secrets.token_hex(4)}"
    mark = Mark(marks.CLONE, "run", "spares")
    assert spares.take(connection, template, name, mark)
    taken = databases.find(connection, name)
    assert taken is not None
    assert taken.mark == mark
    connections.connect(server.url.set(database=name), "test").close()
    assert not spares.take(connection, template, f"{name}_2", mark)


def test_spares_of_other_templates_are_dropped(connection: Connection, template: Database) -> None:
    """When its template is gone, a spare goes too."""
    spares.prepare(connection)
    databases.drop(connection, template.name)
    spares.prepare(connection)
    assert spares_of(connection, template) == []
