"""The server as tests see it: it hands out migrated databases.

A worker is handed server and database by the process that directs it. What finds servers and migrates is imported where
it is used: in eight workers at once that import would take half a second.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL

from pytest_pristine.errors import MissingExtensionError, PrivilegeError
from pytest_pristine.postgres import budget, connections, names
from pytest_pristine.postgres.capabilities import Capabilities
from pytest_pristine.servers.needs import Extension, Needs
from pytest_pristine.servers.server import Server
from pytest_pristine.settings import Settings
from pytest_pristine.templates import workspace
from pytest_pristine.templates.broker import Broking
from pytest_pristine.templates.spent import Spent
from pytest_pristine.templates.workspace import Workspace

if TYPE_CHECKING:
    from pytest_pristine.migrations.migrator import Migrator
    from pytest_pristine.migrations.surroundings import Surroundings
    from pytest_pristine.templates.run import Run


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
        workers: How many there are.
        tell: Shows a line to the user.
        broker: Makes the databases; None where this process does.
        spent: The time that it took this process.
        fresh: Tests of the run ask for databases of their own, which need connections.
        reservation: Stands for the run's id in the names of databases that the application is told of before they
            are made; empty where it is told of none.
    """

    server: Server
    needs: Needs
    settings: Settings = field(repr=False)  # it may hold a URL with a password
    root: Path
    session: str
    worker: str
    workers: int = 1
    tell: Callable[[str], None] = field(default=_nobody, repr=False)
    broker: Broking | None = field(default=None, repr=False)
    spent: Spent = field(default_factory=Spent, repr=False)
    fresh: bool = False
    reservation: str = ""

    @classmethod
    def find(
        cls,
        settings: Settings,
        root: Path,
        session: str,
        worker: str,
        *,
        workers: int,
        tell: Callable[[str], None],
    ) -> PostgresServer:
        """Find or start a server that will do for a number of workers.

        Raises:
            ServerError: There is none.
            NotOursError: The database that the user named is neither ours nor empty.
        """
        from pytest_pristine.migrations import extensions  # see the module
        from pytest_pristine.servers import needs, resolver  # the same

        spent = Spent()
        with spent.on("start"):
            wanted = needs.read(settings, extensions.of_project(root, settings))
            server = resolver.resolve(settings, wanted)
            return cls(server, wanted, settings, root, session, worker, workers, tell, spent=spent).checked()

    @classmethod
    def handed(
        cls, broker: Broking, settings: Settings, root: Path, session: str, worker: str, *, workers: int
    ) -> PostgresServer:
        """The server that the broker of the run has found.

        Raises:
            ServerError: There is none.
        """
        given = broker.server()
        return cls(
            given.server, given.needs, settings, root, session, worker, workers,
            broker=broker, reservation=given.reservation,
        )  # fmt: skip

    def among(self, workers: int, tell: Callable[[str], None]) -> PostgresServer:
        """The same server for a number of workers, which this process directs.

        Raises:
            ServerError: It has not what so many need.
        """
        return replace(self, workers=workers, tell=tell).checked()

    def reserve(self) -> URL:
        """Fix which database the worker will have, before it is made; gives its URL."""
        self.reservation = self.reservation or secrets.token_hex(4)
        return self.reserved

    @property
    def reserved(self) -> URL:
        """The URL of the database that is reserved for the worker."""
        if self.server.in_place:
            return self.url.set(database=self.server.target)
        project = names.label(self.root.name)
        name = names.of_worker(self.server.target, project, self.reservation, self.worker)
        return self.url.set(database=name)

    def checked(self) -> PostgresServer:
        """This object, if the server has what the workers need; else the server is given back.

        Raises:
            ServerError: It has not.
        """
        try:
            self.server.budget.pool(self.workers, self.settings.pool.value)
            if self.server.in_place:
                from pytest_pristine.templates import in_place  # see the module

                role, target = self.capabilities.role, str(self.server.target)
                in_place.check_alone(role, target, self.workers)
                with connections.connect(self.url, "look") as connection:
                    in_place.check_free(connection, role, target)
        except BaseException:
            self.server.release()
            raise
        return self

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

    @property
    def connections(self) -> int:
        """How many connections each worker's engine may have at a time.

        Raises:
            TooFewConnectionsError: The server has not as many as the workers need.
        """
        share = self.server.budget.pool_beside_fresh if self.fresh else self.server.budget.pool
        return share(self.workers, self.settings.pool.value)

    @property
    def fresh_connections(self) -> tuple[int, int]:
        """How many connections the engine of a test's own database may have, and how many may wait for such engines.

        Raises:
            TooFewConnectionsError: There is none for them.
        """
        return self.server.budget.fresh(self.workers, self.connections)

    @property
    def share(self) -> str:
        """How many connections each engine has, for people, where there are fewer than usual; else nothing."""
        if self.connections >= budget.WANTED:
            return ""
        each = f"{self.connections} connection{'' if self.connections == 1 else 's'}"
        why = "pristine_pool" if self.settings.pool.value is not None else f"of {self.server.budget.free} that are free"
        return (
            f"each of {self.workers} engines has {each} at most ({why})"
            if self.workers > 1
            else (f"the engine has {each} at most ({why})")
        )

    @property
    def makes_copies(self) -> bool:
        """Whether one process can make the databases of all workers: migrations in line run where the tests do."""
        return not self.server.in_place and not self._inline

    @property
    def rebuilds(self) -> bool:
        """Whether to migrate from nothing, whatever earlier sessions left."""
        return self.settings.create_db.value

    @property
    def _inline(self) -> bool:
        return self.settings.migrations_process.value == "inline"

    def __str__(self) -> str:
        return str(self.server)

    def migrations(self, surroundings: Surroundings | None = None) -> Migrator:
        """The project's own migrations, as its settings describe them.

        Args:
            surroundings: Those of the process for which they are run, where it is not this one.

        Raises:
            AlembicConfigError: There is no alembic.ini, or there are several.
            StepConfigError: A line of `pristine_migrations` cannot be read.
        """
        from pytest_pristine.migrations import chosen  # see the module

        return chosen.of_settings(self.root, self.settings, surroundings)

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
            if migrator is None and self.broker is not None and self.makes_copies:
                yield stack.enter_context(self._take(self.broker))
            else:
                yield self._lease(self._placed(migrator), stack)

    def _placed(self, migrator: Migrator | None) -> Migrator:
        """The migrator that was given, for this project, or the project's own."""
        if migrator is None:
            return self.migrations()
        from pytest_pristine.migrations import steps  # see the module

        return steps.placed(migrator, self.root, exports=self.settings.export.value, grows=self.settings.delta.value)

    @contextmanager
    def empty_database(self, *, copy_of: URL | None = None) -> Iterator[URL]:
        """A database of this run that nobody has migrated, dropped at the end of the context; gives its URL.

        Args:
            copy_of: It is a copy of this database of ours instead, in which all sessions are ended.

        Raises:
            PrivilegeError: The role may make no databases.
            UnreachableError: There is no connection to be had.
        """
        if self.server.in_place:
            raise PrivilegeError(
                "an empty database for a test",
                f"the role {self.capabilities.role!r} may make none",
                [f'ALTER ROLE "{self.capabilities.role}" CREATEDB (as a superuser)', "or name another server"],
            )
        run = self.begin()
        try:
            yield run.scratch(copy_of)
        finally:
            run.close()

    def begin(self) -> Run:
        """Begin a run on the server, which makes the databases of several workers.

        Raises:
            UnreachableError: There is no connection to be had.
        """
        from pytest_pristine.templates.run import Run  # see the module

        return Run(
            self.server.url,
            self.server.target,
            project=self.root.name,
            session=self.session,
            revive=self.revive,
            spent=self.spent,
            reservation=self.reservation,
        )

    def move_on(self, error: MissingExtensionError) -> None:
        """Go to a server that has the extension that this one has not.

        Raises:
            ServerError: There is none.
            MissingExtensionError: This one was chosen for having it, or the application was told of it.
        """
        from pytest_pristine.servers import resolver  # see the module

        wanted = Extension(error.extension, error.by)
        if wanted.name in (extension.name for extension in self.needs.extensions):
            raise error
        if self.reservation:
            raise MissingExtensionError(
                error.sought,
                f"{error.found}\nThe application was told of this server before (pristine_export): {self}",
                [f"pristine_extensions = {wanted.name} in the ini file: a server is then chosen that has it"],
                error.extension,
                error.by,
            )
        more = replace(self.needs, extensions=(*self.needs.extensions, wanted))
        found = replace(self, server=resolver.resolve(self.settings, more), needs=more).checked()
        self.server.release()
        self.tell(f"pristine: {self} has no extension {wanted.name}, which {wanted.wanted_by} creates")
        self.server, self.needs = found.server, found.needs
        self.tell(f"pristine: {self}")

    def _take(self, broker: Broking) -> AbstractContextManager[Workspace]:
        """The database that the broker has made. It may be on another server, if migrations turned out to need it."""
        given, copy = broker.database(self.worker)
        self.server, self.needs = given.server, given.needs
        return workspace.work_in(copy, revive=broker.revive)

    def _lease(self, migrator: Migrator, stack: ExitStack) -> Workspace:
        """A database of our own, on another server if the migrations turn out to create what this one has not."""
        try:
            return stack.enter_context(self._work_in_place(migrator) if self.server.in_place else self._copy(migrator))
        except MissingExtensionError as error:
            self.move_on(error)
        return self._lease(migrator, stack)

    def _copy(self, migrator: Migrator) -> AbstractContextManager[Workspace]:
        return self.begin().lease(migrator, self.worker, rebuild=self.rebuilds)

    def revive(self) -> bool:
        """Start the server again if it died and is ours; gives whether it was, and tells the user.

        Raises:
            ServerError: It does not come up.
        """
        if self.broker is not None:
            return self.broker.revive()
        revived = self.server.offer.revive()
        if revived:
            self.tell(f"pristine: the server died in the middle of the run, and was started again: {self}")
        return revived

    def _work_in_place(self, migrator: Migrator) -> AbstractContextManager[Workspace]:
        from pytest_pristine.templates import in_place  # see the module

        target = str(self.server.target)
        return in_place.lease(
            self.server.url,
            target,
            migrator,
            project=self.root.name,
            claimed=self.settings.claim.value == target,
            spent=self.spent,
        )
