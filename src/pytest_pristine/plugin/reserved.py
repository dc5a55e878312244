"""The fixture of every test whose application was told of the database; a plugin of its own, see `exporting`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_pristine.errors import SettingError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from pytest_pristine.plugin.recording import Equipment
    from pytest_pristine.templates.provider import PostgresServer
    from pytest_pristine.templates.workspace import Workspace


@pytest.fixture(scope="session", autouse=True)
def _pristine_exported(
    postgres_server: PostgresServer, apply_migrations: Workspace, _pristine_isolation: Equipment
) -> None:
    """The database of which the application was told is there.

    Raises:
        SettingError: It is another one.
    """
    wanted, found = postgres_server.reserved, apply_migrations.url
    if _place(found) != _place(wanted):
        names = ", ".join(each.name for each in postgres_server.settings.export.value)
        raise SettingError(
            f"the database of which the application was told by {names}: {wanted.database}",
            f"apply_migrations gives another: {found.database}",
            [
                "have it yield what postgres_server.migrated_database(…) gives; called once, with a migrator or none",
                "or take pristine_export out, and have a fixture tell the application of postgres_url",
            ],
        )


def _place(url: URL) -> tuple[object, ...]:
    """Which database it is, whatever driver and user come to it."""
    return url.host, url.port, url.query.get("host"), url.database
