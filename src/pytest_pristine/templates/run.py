"""A run: its lease on a server, and the databases that it makes there for its workers."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine import clock, operating_system
from pytest_pristine.errors import PristineError
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.postgres import connections, databases, lapsed, locks, marks, names, poolers, properties, sessions
from pytest_pristine.postgres.anchor import Anchor
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.templates import copies, retiring
from pytest_pristine.templates.ground import Bare
from pytest_pristine.templates.spent import Spent
from pytest_pristine.templates.template import Builder
from pytest_pristine.templates.workspace import Copy, Workspace, work_in

_log = logging.getLogger("pytest_pristine")


def _nobody_can() -> bool:
    """A server that is not ours is started by others."""
    return False


class Run:
    """A run as long as it lives. Databases whose run is over are dropped at the end of any later one.

    Attributes:
        id: Its id, which the marks of its databases have.
        anchor: Holds its lease, together with the connections of its workers.
    """

    def __init__(
        self,
        url: URL,
        target: str | None,
        *,
        project: str,
        session: str,
        revive: Callable[[], bool] = _nobody_can,
        spent: Spent | None = None,
        reservation: str = "",
    ) -> None:
        """Begin a run.

        Args:
            url: The server's maintenance database.
            target: The database that the user named, which is ours.
            project: The project's name.
            session: Id of the test session, which may have several runs.
            revive: Starts the server again if it died and is ours.
            spent: Where the time is counted.
            reservation: What stands for its id in the names of databases that were told to workers before it began;
                empty when none were.

        Raises:
            UnreachableError: There is no connection to be had.
        """
        self._reservation = reservation
        self.id = secrets.token_hex(4)
        self._url = url
        self._target = target
        self._project = names.label(project)
        self._session = session
        self._spent = spent or Spent()
        self._pid = os.getpid()
        # Workers ask for databases whenever they come.
        self._lock = threading.Lock()
        self.anchor = Anchor(url, f"run {self.id}", revive)
        try:
            self.anchor.join(locks.lease(self.id))
        except BaseException:
            self.anchor.close()
            raise

    def copies(
        self, migrator: Migrator, workers: Sequence[str], *, rebuild: bool = False, is_first: bool = True
    ) -> list[Copy]:
        """Migrated databases, one for each worker; the first has the one that the user named, if nobody else has it.

        Args:
            migrator: Makes the schema.
            workers: Their names: `main`, `gw0`.
            rebuild: Migrate from nothing, whatever earlier sessions left.
            is_first: These are all that are needed now: the next run is given as many, and the first of them takes the
                place of the database that the user named. Else they are made for whoever comes later.

        Raises:
            MigrationError: The migrations failed.
        """
        with self._lock, connections.whole("to make databases for the tests", self._url):
            connection = self.anchor.alive()
            wanted = None if self._target is None else properties.read(connection, self._target)
            ground = Bare(connection, self._url, self._target)
            builder = Builder(
                connection, self._url, ground, migrator, self._project, self.id, self._session, grows=True
            )
            made = []
            with ExitStack() as stack:
                with self._spent.on("migrations"):
                    wanted_copies = len(workers) if is_first else None
                    template = stack.enter_context(builder.template(wanted_copies, rebuild=rebuild))
                stack.enter_context(self._spent.on("clone"))
                mark = replace(self._mark(marks.CLONE), fingerprint=template.mark.fingerprint)
                for worker in workers:
                    name = self._name(connection, worker)
                    copies.make(connection, template, name, mark, wanted)
                    at, oid = self._url.set(database=name), databases.oid(connection, name)
                    made.append(
                        Copy(at, self._url, mark, template, wanted, oid, session=self._session, rebuilds=rebuild)
                    )
            # An application that was told where its database is does not look for it elsewhere.
            if is_first and self._target is not None and not self._reservation:
                made[0] = self._put_in_place(made[0], self._target)
            return made

    def renew(self, copy: Copy) -> None:
        """Make a copy anew, for a worker that asks again: one that runs each test in a fork of itself."""
        with self._lock:
            copy.rebuild(self.anchor)

    def scratch(self, copy_of: URL | None = None) -> URL:
        """An empty database that goes with the run.

        Args:
            copy_of: It is a copy of this database instead, in which all sessions are ended.
        """
        name = names.scratch()
        with self._lock, connections.whole("to make a database for a test", self._url):
            connection, url = self.anchor.alive(), self._url.set(database=name)
            if copy_of is None:
                ground = Bare(connection, self._url, self._target)
                ground.lay(name, self._mark(marks.SCRATCH))
                ground.equip(url)
            else:
                sessions.end(connection, str(copy_of.database))
                databases.create(connection, name, self._mark(marks.SCRATCH), template=str(copy_of.database))
        return url

    @contextmanager
    def lease(self, migrator: Migrator, worker: str, *, rebuild: bool = False) -> Iterator[Workspace]:
        """A migrated database for the only worker of the run, which ends with the context; see `copies`."""
        try:
            (copy,) = self.copies(migrator, [worker], rebuild=rebuild)
            with work_in(copy, self.anchor) as workspace:
                yield workspace
        finally:
            self.close()

    def _name(self, connection: Connection, worker: str) -> str:
        """The name of a worker's next database: the one that was reserved for it, unless it is taken by now."""
        if self._reservation:
            reserved = names.of_worker(self._target, self._project, self._reservation, worker)
            if databases.oid(connection, reserved) is None:
                return reserved
        return names.of_worker(self._target, self._project, self.id, worker)

    def _mark(self, kind: str) -> Mark:
        now = clock.utc().isoformat(timespec="seconds")
        return Mark(kind, self.id, self._project, owner=operating_system.owner(), since=now)

    def _put_in_place(self, copy: Copy, target: str) -> Copy:
        """Put a copy in the place of the database that the user named, unless somebody is there."""
        connection = self.anchor.connection
        clone, template = str(copy.url.database), copy.template
        mark = replace(self._mark(marks.TARGET), created=template.mark.created, fingerprint=template.mark.fingerprint)
        with locks.held_if_free(connection, locks.target(target)) as free:
            if not free or self._is_anothers(target):
                _log.info("another run works in %s: working in %s", target, clone)
                return copy
            aside = names.scratch()
            # Our own sessions, and those of earlier runs.
            poolers.end_parked(connection, target)
            # What it was goes the way of everything whose run is over, also when this run dies on the next line.
            if not databases.exchange(connection, target, mark, clone, aside, self._mark(marks.SCRATCH)):
                _log.warning("somebody is connected to %s: working in %s instead", target, clone)
                return copy
        copies.drop(connection, aside)
        return replace(copy, url=self._url.set(database=target), mark=mark, is_target=True)

    def _is_anothers(self, target: str) -> bool:
        """Whether a run works in the database that the user named. A worker of our own may, too."""
        found = databases.find(self.anchor.connection, target)
        if found is None or not found.mark.run:
            return False
        return locks.is_held(self.anchor.connection, locks.lease(found.mark.run))

    def close(self) -> None:
        """End the run: drop its databases, those of runs that died, and templates nobody has needed for long."""
        if os.getpid() != self._pid:
            return  # a fork of the process that began it, which goes on
        try:
            with self._lock:
                self._clean_up()
        finally:
            self.anchor.close()

    def _clean_up(self) -> None:
        try:
            connection = self.anchor.alive()
            lapsed.drop(connection, self.id)
            retiring.retire(connection, self._project)
        except (PristineError, psycopg.Error) as error:
            # Whoever runs next on the server does it.
            _log.warning("the next run, or pristine prune, drops the databases of this one: %s", lapsed.told(error))
