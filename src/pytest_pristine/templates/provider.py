"""The server as tests see it: it hands out migrated databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine.errors import MissingExtensionError
from pytest_pristine.migrations import locate
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.postgres.capabilities import Capabilities
from pytest_pristine.servers import resolver
from pytest_pristine.servers.needs import Extension, Needs
from pytest_pristine.servers.resolver import Server
from pytest_pristine.settings import Settings
from pytest_pristine.templates import in_place, workspace
from pytest_pristine.templates.workspace import Workspace


def _nobody(_: str) -> None:
    """Nobody is told."""


@dataclass(slots=True)
class PostgresServer:
    """What the fixture `postgres_server` gives.

    Attributes:
        server: The server that was chosen.
        needs: What it was chosen for.
        settings: The settings of the run.
        root: pytest's root directory.
        session: Id of the test session.
        worker: Name of the worker: `main`, or pytest-xdist's `gw0`.
        tell: Shows a line to the user.
    """

    server: Server
    needs: Needs
    settings: Settings = field(repr=False)  # it may hold a URL with a password
    root: Path
    session: str
    worker: str
    tell: Callable[[str], None] = field(default=_nobody, repr=False)

    @property
    def version(self) -> int:
        """`server_version_num`: 180006 for 18.6."""
        return self.server.version

    @property
    def source(self) -> str:
        """Where it came from: `url`, `up`, `embedded`, `local` or `docker`."""
        return self.server.source

    @property
    def url(self) -> URL:
        """Its maintenance database, password included."""
        return self.server.url

    @property
    def capabilities(self) -> Capabilities:
        """What it offers to our role."""
        return self.server.capabilities

    def __str__(self) -> str:
        return str(self.server)

    def migrations(self) -> Alembic:
        """The project's own migrations, as its settings describe them.

        Raises:
            AlembicConfigError: There is no alembic.ini, or there are several.
        """
        return Alembic(
            config=locate.alembic_config(self.root, self.settings.alembic_config),
            root=self.root,
            target=self.settings.alembic_target.value,
            inline=self.settings.migrations_process.value == "inline",
        )

    @contextmanager
    def migrated_database(self, migrator: Migrator | None = None) -> Iterator[Workspace]:
        """A database at head for this worker, dropped or given up at the end of the context.

        Args:
            migrator: Makes the schema; the project's own migrations when it is not given.

        Raises:
            MigrationError: The migrations failed.
            OccupiedError: The role may make no databases, and another run works in the one that was named.
            ServerError: They create an extension that the server has not, and no other server has it.
        """
        with ExitStack() as stack:
            yield self._lease(migrator or self.migrations(), stack)

    def _lease(self, migrator: Migrator, stack: ExitStack) -> Workspace:
        """The database, on another server if the migrations turn out to create what this one has not."""
        try:
            return stack.enter_context(self._work_in_place(migrator) if self.server.in_place else self._copy(migrator))
        except MissingExtensionError as error:
            self._move_on(error)
        return self._lease(migrator, stack)

    def _move_on(self, error: MissingExtensionError) -> None:
        """Go to a server that has the extension that this one has not."""
        wanted = Extension(error.extension, error.by)
        if wanted.name in (extension.name for extension in self.needs.extensions):
            raise error  # it was chosen for having it
        needs = replace(self.needs, extensions=(*self.needs.extensions, wanted))
        server = resolver.resolve(self.settings, needs)
        self.server.release()
        self.tell(f"pristine: {self} has no extension {wanted.name}, which {wanted.wanted_by} creates")
        self.server, self.needs = server, needs
        self.tell(f"pristine: {self}")

    def _copy(self, migrator: Migrator) -> AbstractContextManager[Workspace]:
        return workspace.lease(
            self.server.url,
            self.server.target,
            migrator,
            project=self.root.name,
            session=self.session,
            worker=self.worker,
            rebuild=self.settings.create_db.value,
        )

    def _work_in_place(self, migrator: Migrator) -> AbstractContextManager[Workspace]:
        target = str(self.server.target)
        return in_place.lease(
            self.server.url,
            target,
            migrator,
            project=self.root.name,
            claimed=self.settings.claim.value == target,
        )
