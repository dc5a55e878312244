"""Working in place: the workspace of a role that may make no databases is the database that the user named.

There is no template and no copy. The database is emptied and migrated anew for every session, and again whenever it
is rebuilt: slow, and always right.
"""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine import clock, operating_system
from pytest_pristine.errors import NotOursError, OccupiedError, PrivilegeError, RestoreError
from pytest_pristine.loading.loader import Loader
from pytest_pristine.migrations import evidence
from pytest_pristine.migrations.evidence import Evidence
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.postgres import (
    connections,
    contents,
    databases,
    emptying,
    locks,
    marks,
    names,
    properties,
    public_schema,
    sessions,
)
from pytest_pristine.postgres.anchor import PATIENCE, Anchor
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.postgres.properties import Properties
from pytest_pristine.postgres.public_schema import PublicSchema
from pytest_pristine.templates import normalise
from pytest_pristine.templates.spent import Spent
from pytest_pristine.templates.workspace import Workspace

# Seconds between two looks at a database that another run has.
_INTERVAL = 0.1


@contextmanager
def lease(
    url: URL, target: str, migrator: Migrator, *, project: str, claimed: bool, spent: Spent | None = None
) -> Iterator[Workspace]:
    """The database that the user named, emptied and migrated, for one worker. It stays as the run left it.

    Args:
        url: The server's maintenance database, or the target where our role can connect to no other.
        target: The database that the user named.
        migrator: Makes the schema.
        project: The project's name.
        claimed: Whatever is in it may be destroyed, mark or no mark.
        spent: Where the time is counted.

    Raises:
        OccupiedError: Another run, or another worker, works in it.
        NotOursError: It is neither marked nor empty nor claimed.
        PrivilegeError: Something in it is another role's.
        MigrationError: The migrations failed.
    """
    run = secrets.token_hex(4)
    now = clock.utc().isoformat(timespec="seconds")
    mark = Mark(marks.TARGET, run, names.label(project), owner=operating_system.owner(), since=now)
    with closing(Anchor(url, f"run {run}")) as anchor:
        if not anchor.hold(locks.target(target), PATIENCE) or _is_anothers(anchor.connection, target):
            raise _occupied_by_another(anchor.connection, anchor.connection.info.user, target)
        anchor.join(locks.lease(run))
        at = url.set(database=target)
        with connections.connect(at, "in place") as connection:
            place = Place(
                anchor,
                at,
                migrator,
                mark,
                claimed,
                properties.read(connection, target),
                public_schema.read(connection),
            )
        with (spent or Spent()).on("migrations"):
            place.make()
        yield Workspace(at, None, place.rebuild, place.hold, stack=place.stack, contested=run, migrated=place.migrated)


def _is_anothers(connection: Connection, target: str) -> bool:
    """Whether a run that lives has put a copy of a template there."""
    found = databases.find(connection, target)
    return found is not None and bool(found.mark.run) and locks.is_held(connection, locks.lease(found.mark.run))


def check_alone(role: str, target: str, workers: int) -> None:
    """Refuse several workers where there is one database.

    Raises:
        OccupiedError: There are several.
    """
    if workers > 1:
        raise _occupied(role, target, f"{workers} workers", "run one worker: without -n, or with -n 1")


def check_free(connection: Connection, role: str, target: str) -> None:
    """Refuse to begin where another run works, before the first test. It may have ended just now.

    Raises:
        OccupiedError: One does.
    """
    deadline = clock.now() + PATIENCE
    while _is_anothers(connection, target) or locks.is_held(connection, locks.target(target)):
        if clock.now() > deadline:
            raise _occupied_by_another(connection, role, target)
        time.sleep(_INTERVAL)


def _occupied_by_another(connection: Connection, role: str, target: str) -> OccupiedError:
    found = databases.find(connection, target)
    owner = f" of {found.mark.owner}, since {found.mark.since}," if found is not None and found.mark.owner else ""
    return _occupied(role, target, f"another run{owner} works in it", "wait until the other run has ended")


def _occupied(role: str, target: str, who: str, remedy: str) -> OccupiedError:
    statement = sql.SQL("ALTER ROLE {} CREATEDB").format(sql.Identifier(role)).as_string(None)
    return OccupiedError(
        f"the database {target!r} for this run alone: the role {role!r} may make no other",
        who,
        [remedy, f"or, so that every worker has a database of its own, as a superuser: {statement}"],
    )


@dataclass(slots=True)
class Place:
    """A database that is emptied and migrated where it is.

    Attributes:
        anchor: Holds the lock of the run.
        url: The database.
        migrator: Makes the schema.
        mark: The mark that it is given.
        claimed: Whatever is in it may be destroyed, mark or no mark.
        properties: What it had beside its contents at the start.
        public: What its schema `public` was at the start.
        oid: Its oid, once it was checked that it is ours.
        migrated: What was found after the migrations.
        loaders: What is loaded on top of them, in this order.
    """

    anchor: Anchor
    url: URL
    migrator: Migrator
    mark: Mark
    claimed: bool
    properties: Properties
    public: PublicSchema
    oid: int | None = None
    migrated: Evidence | None = None
    loaders: tuple[Loader, ...] = ()

    def make(self) -> None:
        """Empty the database and migrate it, and load what is to be on top."""
        with connections.connect(self.url, "in place") as connection:
            # Once it was checked it is ours, whatever a test writes into its COMMENT.
            oid = databases.oid(connection, self._name)
            if oid != self.oid:
                self._check_ours(connection)
                self.oid = oid
            self._end_sessions(connection)
            properties.apply(connection, self._name, self.properties)
            self._mark(connection)
            emptying.empty(connection, self.public)
        self.migrated = evidence.of(self.migrator.migrate(self.url))
        for loader in self.loaders:
            loader.migrate(self.url)
        normalise.sequences(self.url)
        with connections.connect(self.url, "in place") as connection:
            # A migration may have given the database a COMMENT.
            self._mark(connection)

    def rebuild(self) -> None:
        """Make it again, with the migrations as they are now; see `Workspace.rebuild`."""
        try:
            self.anchor.alive()
            self.make()
        except psycopg.Error as error:
            raise RestoreError(
                f"to empty the database {self._name!r} and migrate it again",
                str(error).strip(),
                ["see the server's log"],
            ) from error

    def stack(self, loaders: Sequence[Loader]) -> Callable[[], None]:
        """Gives what loads data on top of the migrations; see `Workspace.stack`."""
        return functools.partial(self._stack, tuple(loaders))

    def _stack(self, loaders: tuple[Loader, ...]) -> None:
        """Load data on top of the migrations, and no other.

        A database that holds what the first of the loaders load, and nothing else, is given the rest. Otherwise it is
        made again.
        """
        before, self.loaders = self.loaders, loaders
        try:
            if before == self.loaders[: len(before)]:
                self._load(self.loaders[len(before) :])
            else:
                self.rebuild()
        except BaseException:
            self.loaders = before
            raise

    def _load(self, loaders: Sequence[Loader]) -> None:
        with connections.connect(self.url, "in place") as connection:
            self._end_sessions(connection)
        for loader in loaders:
            loader.migrate(self.url)
        normalise.sequences(self.url)

    def hold(self, connection: Connection) -> None:
        """Have a connection hold the lease of the run; see `Workspace.hold`."""
        self.anchor.alive()
        if not locks.join_within(connection, locks.lease(self.mark.run), PATIENCE):
            raise RestoreError(
                f"the lease on the database {self._name!r}", "somebody takes the run for dead", ["run the tests again"]
            )

    @property
    def _name(self) -> str:
        return str(self.url.database)

    def _check_ours(self, connection: Connection) -> None:
        """Refuse what may not be emptied."""
        if self.claimed or databases.find(connection, self._name) is not None:
            return
        found = contents.describe(connection)
        if found is not None:
            raise NotOursError(
                f"a database that may be emptied: {self._name!r}",
                f"{found}, and no mark of ours. Nothing was touched",
                [f"if everything in it may be destroyed: pytest --pristine-claim={self._name}"],
            )

    def _end_sessions(self, connection: Connection) -> None:
        """End what holds locks. Sessions of roles that we may not end stay: most hold none."""
        sessions.end(connection, self._name, keep=[sessions.own(self.anchor.connection)])
        sessions.roll_back_prepared(connection)

    def _mark(self, connection: Connection) -> None:
        try:
            databases.set_mark(connection, self._name, self.mark)
        except psycopg.errors.InsufficientPrivilege as error:
            # It is not the role's own. One that was claimed has to be the next time too.
            if not self.claimed:
                role = connection.info.user
                raise PrivilegeError(
                    f"to mark the database {self._name!r} as ours, as the role {role!r}",
                    str(error).strip(),
                    [f"as a superuser: {_give_away(self._name, role)}",
                     f"or, if everything in it may be destroyed: pytest --pristine-claim={self._name}"],
                ) from None  # fmt: skip


def _give_away(database: str, role: str) -> str:
    """The statement that makes a role the owner of a database."""
    statement = sql.SQL("ALTER DATABASE {} OWNER TO {}")
    return statement.format(sql.Identifier(database), sql.Identifier(role)).as_string(None)
