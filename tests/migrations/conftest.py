"""What tests of migrations share: histories to write, and ways to run them."""

from __future__ import annotations

import re

import pytest
from sqlalchemy.engine import URL

from pytest_pristine.errors import MigrationError
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.fingerprint import Inputs
from tests.conftest import Project, Server

# An env.py that leads its own life: it connects where `URL` says and looks at nothing that it was given.
OWN_ENGINE = """
    from alembic import context
    from sqlalchemy import create_engine

    with create_engine({url!r}).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""


class History:
    """An Alembic history in a project, and the database that it goes to."""

    def __init__(self, project: Project, server: Server, url: URL) -> None:
        self.project = project
        self.server = server
        self.url = url

    @property
    def password(self) -> str:
        """The password of the server."""
        return str(self.url.password)

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        self.project.write(name, text)

    def revise(self, revision: str, down: str | None, body: str, name: str = "change") -> None:
        """Write a revision whose upgrade is the given lines."""
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        self.project.write(
            f"migrations/versions/{revision}_{name}.py",
            f"from alembic import op\n\nrevision, down_revision = {revision!r}, {down!r}\n\n\n"
            f"def upgrade():\n{lines}\n",
        )

    def alembic(self, **options: object) -> Alembic:
        """The migrator of this history."""
        where = {"config": self.project.path / "alembic.ini", "root": self.project.path}
        return Alembic(**{**where, **options})  # type: ignore[arg-type]

    def migrate(self, **options: object) -> Inputs:
        """Bring the database to head."""
        return self.alembic(**options).migrate(self.url)

    def fails(self, kind: type[MigrationError], **options: object) -> str:
        """Bring the database to head in vain; gives the message, in which no password may stand."""
        with pytest.raises(MigrationError) as caught:
            self.migrate(**options)
        assert type(caught.value) is kind, caught.value
        assert self.password not in str(caught.value)
        return str(caught.value)

    def revisions(self) -> list[str]:
        """The revisions that the database is at, in the words of psql."""
        return self.ask("SELECT version_num FROM alembic_version ORDER BY 1").split()

    def tables(self, database: str | None = None) -> list[str]:
        """The tables in the schema public, in the words of psql."""
        query = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1"
        return self.ask(query, database).split()

    def ask(self, query: str, database: str | None = None) -> str:
        """What psql answers to a query of the database."""
        return self.server.ask(query, database or self.url.database)


@pytest.fixture
def history(project: Project, server: Server, database: URL) -> History:
    """A history of one revision, 0001, which makes the table users; and an empty database."""
    return History(project, server, database)


def one_line(text: str) -> str:
    """The text with all white space made one space."""
    return re.sub(r"\s+", " ", text)
