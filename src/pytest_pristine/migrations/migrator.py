"""What a migrator is: a way to bring an empty database to head, and to tell what its result depends on."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy.engine import URL

from pytest_pristine.migrations.fingerprint import Inputs


class Migrator(Protocol):
    """A way to make the schema."""

    def fingerprint(self) -> str:
        """A digest of everything that is known beforehand to decide the result: scripts, configuration, target."""

    def migrate(self, url: URL) -> Inputs:
        """Bring the empty database at `url` to head.

        Returns:
            What else the migrations turned out to read. The result is reused as long as none of it changes.
            `Alembic` gives with it what it found of head and models; whoever builds on it hands the object on.

        Raises:
            MigrationError: They failed.
        """

    def current(self, inputs: Inputs) -> bool:
        """Whether everything that an earlier migration read is unchanged."""
