"""Tests of a project's migrations, ready to be imported: `from pytest_pristine.migration_checks import *`.

Each works on empty databases of its own. A project that has its migrations elsewhere than its settings say overrides
the fixture `checked_migrations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_pristine.migrations.alembic import Alembic
    from pytest_pristine.migrations.checked import Checked
    from pytest_pristine.migrations.dumps import Dump
    from pytest_pristine.migrations.evidence import Evidence
    from pytest_pristine.migrations.steps import Steps
    from pytest_pristine.templates.provider import PostgresServer

__all__ = [
    "checked_migrations", "database_from_base", "test_delta_equals_scratch", "test_models_match_schema",
    "test_no_released_revision_was_edited", "test_single_head", "test_up_down_up", "test_upgrade_from_base",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class FromBase:
    """A database that was migrated from nothing.

    Attributes:
        found: What was found of it.
        dump: What it is.
        applied: Its history applied something to what the steps before it made.
    """

    found: Evidence | None
    dump: Dump
    applied: bool = True


@pytest.fixture(scope="session")
def checked_migrations(postgres_server: PostgresServer) -> Steps | Alembic:
    """The history that is checked, the project's own, after the steps before it. Override it to check another."""
    from pytest_pristine.migrations import checked  # heavy, and most runs need none

    return checked.of_project(postgres_server.migrations())


@pytest.fixture(scope="session")
def database_from_base(postgres_server: PostgresServer, checked_migrations: Steps | Alembic) -> FromBase:
    """An empty database that was migrated to head now, whatever templates there are."""
    from pytest_pristine.migrations import dumps  # see above

    checked = _checked(postgres_server, checked_migrations)
    with postgres_server.empty_database() as url:
        checked.prepare(url)
        before = dumps.take(url) if checked.before else None
        found = checked.migrate(url)
        dump = dumps.take(url)
        return FromBase(found, dump, applied=before != dump)


def _checked(server: PostgresServer, migrations: Steps | Alembic) -> Checked:
    from pytest_pristine.migrations.checked import Checked  # see above

    return Checked.of(migrations, server.root, server.settings.export.value)


def test_single_head(checked_migrations: Steps | Alembic) -> None:
    """The history has one head: branches of development that each added a revision were merged."""
    from pytest_pristine.migrations import checks  # see above
    from pytest_pristine.migrations.checked import Checked  # the same

    checks.single_head(Checked.of(checked_migrations).history)


def test_upgrade_from_base(database_from_base: FromBase) -> None:
    """An empty database comes to head."""
    from pytest_pristine.migrations import checks  # see above

    checks.at_head(database_from_base.found)


def test_models_match_schema(database_from_base: FromBase) -> None:
    """The models that env.py names are what the migrations make."""
    from pytest_pristine.migrations import checks  # see above

    checks.models_match(database_from_base.found)


def test_up_down_up(postgres_server: PostgresServer, checked_migrations: Steps | Alembic) -> None:
    """Each revision can be undone, which leaves nothing behind, and applied again, which gives the same."""
    from pytest_pristine.migrations import checks  # see above

    checked = _checked(postgres_server, checked_migrations)
    with postgres_server.empty_database() as url:
        checks.up_down_up(checked, url, postgres_server.settings.irreversible.value)


def test_delta_equals_scratch(
    postgres_server: PostgresServer, checked_migrations: Steps | Alembic, database_from_base: FromBase
) -> None:
    """The last revision on top of a template of the others gives what all of them give on an empty database."""
    from pytest_pristine.migrations import checks, dumps  # see above

    checked = _checked(postgres_server, checked_migrations)
    if not database_from_base.applied:
        raise checked.nothing_left()
    earlier = checks.prefix(checks.history(checked.history))
    with postgres_server.empty_database() as url:
        checked.prepare(url)
        checks.bring_to(checked.history, url, earlier)
        with postgres_server.empty_database(copy_of=url) as copy:
            checked.migrate(copy)
            checks.same(database_from_base.dump, dumps.take(copy), "the same from a template of earlier revisions")


def test_no_released_revision_was_edited(checked_migrations: Steps | Alembic) -> None:
    """No revision was edited after `pristine release` noted it."""
    from pytest_pristine.migrations import released  # see above
    from pytest_pristine.migrations.checked import Checked  # the same

    released.unchanged(Checked.of(checked_migrations).history)
