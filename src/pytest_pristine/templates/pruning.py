"""Removing what nobody can hold any more, and bounding the space that the cache takes."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from pytest_pristine import operating_system
from pytest_pristine.errors import PristineError, ServerError, UnreachableError
from pytest_pristine.postgres import connections, databases, lapsed, locks, marks, urls
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database
from pytest_pristine.servers import home, installations, inventory, keeper, leases, named, up
from pytest_pristine.servers.cluster import Cluster
from pytest_pristine.servers.keeper import Kept
from pytest_pristine.servers.wheels import WHEELS
from pytest_pristine.settings import DEFAULT, Value
from pytest_pristine.templates import keeping, retiring

# The names of copies of programs: in a directory that somebody named as our home there may be other things.
_COPY = re.compile(rf"({'|'.join(re.escape(wheel.distribution) for wheel in WHEELS)})-.*")
_NOT_CONFIGURED = Value[str | None](None, DEFAULT, DEFAULT)


@dataclass(frozen=True, slots=True)
class Removal:
    """Something that was removed, or would be.

    Attributes:
        what: What it is, for people.
        bytes: The space that it took.
    """

    what: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Pruner:
    """Removes things in a home directory.

    Attributes:
        home: The directory.
        dry: Say what would be removed, and remove nothing.
        named: The setting `pristine_url`: the server that it names is looked after, too.
    """

    home: Path
    dry: bool = False
    named: Value[str | None] = _NOT_CONFIGURED
    _failures: list[ServerError] = field(default_factory=list, init=False)

    def prune(self, *, everything: bool = False, limit: int | None = None) -> Iterator[Removal]:
        """Remove what nobody can hold; each is told when it is gone.

        Args:
            everything: Remove all that nobody uses now: servers without leases, and copies of programs. What
                `pristine up` started is for `pristine down` to remove.
            limit: Bytes that may stay. Above them templates and then servers' data are removed, those that were used
                longest ago first.

        Raises:
            ServerError: Something cannot be removed. What can be was.
        """
        failures = self._failures
        failures.clear()
        for directory in home.servers(self.home):
            try:
                yield from self._prune_server(directory, everything=everything)
            except ServerError as error:
                failures.append(error)
        try:
            yield from self._prune_named(everything=everything)
        except ServerError as error:
            failures.append(error)
        for copy in inventory.take(self.home).copies:
            ours = _COPY.fullmatch(copy.name) is not None
            if ours and (not copy.installed or (everything and not self._anything_runs())):
                yield from self._remove_directory(Path(copy.directory), f"the copy of the programs {copy.name}")
        if limit is not None:
            yield from self._shrink(limit)
        if failures:
            raise _joined(failures)

    def _prune_server(self, directory: Path, *, everything: bool) -> Iterator[Removal]:
        server = keeper.at(directory)
        with server.lock():
            url, held = server.running(), leases.held(directory)
            if not held and not _may_be_used(server, url, everything=everything):
                yield from self._discard(server)
                return
        if url is not None:
            yield from self._drop_databases(url, directory.name, everything=everything)
        if not _is_up(directory):
            yield from self._stop_forgotten(server)

    def _prune_named(self, *, everything: bool) -> Iterator[Removal]:
        """Drop the databases of runs that are over on the server that the settings name.

        Raises:
            ServerError: It was named for this call, and cannot be used.
        """
        if self.named.value is None:
            return
        url = urls.parse(self.named.value, self.named.origin)
        try:
            named.connect(url, "prune", self.named.origin).close()
        except UnreachableError:
            if self.named.explicit:
                raise
            return  # the project's default, which does not run now
        yield from self._drop_databases(url, urls.show(url), everything=everything)

    def _stop_forgotten(self, server: Kept) -> Iterator[Removal]:
        """Stop a server that no run holds and nobody keeps, and clear up after one that died. Its data is a cache."""
        with server.lock():
            if leases.held(server.directory) or keeper.process(server.directory) or server.address() is None:
                return
            if not self.dry:
                server.stop()
            yield Removal(f"the server {server.directory.name}, which nobody keeps, but not its data", 0)

    def _discard(self, server: Kept) -> Iterator[Removal]:
        """Stop a server that nobody holds and remove what it has. The caller holds its lock."""
        removal = Removal(f"the server {server.directory.name} and its data", inventory.size(server.directory))
        if not self.dry:
            keeper.dismiss(server.directory)
            server.stop()
            server.discard()
            home.remove(server.directory)
        yield removal

    def _drop_databases(self, url: URL, name: str, *, everything: bool) -> Iterator[Removal]:
        """Drop the databases of runs that are over, and those of failed tests that were kept for long."""
        try:
            connection = inventory.maintenance(url, "prune")
        except ServerError:
            return  # it does not answer now; whoever uses it will see
        with closing(connection):
            for database in list(lapsed.made_by_runs(connection)):
                yield from self._drop_lapsed(connection, database, name)
            yield from self._drop_orphans(connection, name)
            yield from self._drop_kept(connection, name, everything=everything)

    def _drop_lapsed(self, connection: Connection, database: Database, server: str) -> Iterator[Removal]:
        """Drop the database of a run, if that is over."""
        removal, dropped = _described(connection, database, server), False
        with self._going_on(connection, removal):
            if self.dry:
                dropped = lapsed.is_over(connection, database)
            else:
                lapsed.drop_one(connection, database)
                dropped = databases.find(connection, database.name) is None
        if dropped:
            yield removal

    def _drop_orphans(self, connection: Connection, server: str) -> Iterator[Removal]:
        """Drop layers whose template is gone: no run will find them again."""
        for layer in list(retiring.orphans(connection)):
            removal = _described(connection, layer, server)
            dropped = self.dry
            with self._going_on(connection, removal):
                dropped = dropped or retiring.drop_if_free(connection, layer)
            if dropped:
                yield removal

    def _drop_kept(self, connection: Connection, server: str, *, everything: bool) -> Iterator[Removal]:
        """Drop databases of failed tests that nobody is likely to look at any more."""
        for database in keeping.latest(connection) if everything else keeping.outdated(connection):
            yield from self._drop(connection, database, server)

    def _drop(self, connection: Connection, database: Database, server: str) -> Iterator[Removal]:
        removal, dropped = _described(connection, database, server), self.dry
        with self._going_on(connection, removal):
            if not self.dry:
                databases.drop(connection, database.name)
                dropped = True
        if dropped:
            yield removal

    @contextmanager
    def _going_on(self, connection: Connection, removal: Removal) -> Iterator[None]:
        """Note what cannot be removed, for the end, and go on with the others as long as there is a connection."""
        try:
            yield
        except LookupError:
            return  # somebody else dropped it meanwhile
        except (psycopg.Error, PristineError) as error:
            remedy = error.remedy if isinstance(error, PristineError) else ["see the server's log"]
            failure = ServerError(f"to remove {removal.what}", lapsed.told(error), remedy)
            if connection.closed:
                raise failure from None
            self._failures.append(failure)

    def _shrink(self, limit: int) -> Iterator[Removal]:
        """Remove templates, then servers that do not run, until no more than the limit is left."""
        excess = inventory.take(self.home).bytes - limit
        removals = itertools.chain(self._drop_templates(), self._discard_stopped())
        while excess > 0 and (removal := next(removals, None)) is not None:
            excess -= removal.bytes
            yield removal

    def _drop_templates(self) -> Iterator[Removal]:
        """Drop the templates that no run is copying, the one used longest ago first, and before them all layers."""
        running = ((directory.name, keeper.at(directory).running()) for directory in home.servers(self.home))
        with contextlib.ExitStack() as stack:
            found = []
            for name, url in running:
                with contextlib.suppress(ServerError):
                    if url is not None:
                        connection = connections.connect(url.set(database="postgres"), "prune")
                        stack.enter_context(closing(connection))
                        found += [(name, connection, each) for each in databases.ours(connection)]
            templates = [each for each in found if each[2].mark.kind in (marks.TEMPLATE, marks.LAYER)]
            # Of layers those that were made last: they stand on others.
            for name, connection, database in sorted(templates, key=_worth):
                with locks.held_if_free(connection, locks.build(database.mark.fingerprint)) as free:
                    if free and databases.find(connection, database.name) is not None:
                        yield from self._drop(connection, database, name)

    def _discard_stopped(self) -> Iterator[Removal]:
        """Remove the servers that do not run, the one used longest ago first."""
        for directory in sorted(home.servers(self.home), key=lambda path: path.stat().st_mtime):
            server = keeper.at(directory)
            with server.lock():
                held = leases.held(directory)
                if server.running() is None and not held and not _may_be_used(server, None, everything=True):
                    yield from self._discard(server)

    def _anything_runs(self) -> bool:
        return any(keeper.at(directory).running() is not None for directory in home.servers(self.home))

    def _remove_directory(self, directory: Path, what: str) -> Iterator[Removal]:
        removal = Removal(what, inventory.size(directory))
        if not self.dry:
            shutil.rmtree(directory)
        yield removal


def _joined(failures: Sequence[ServerError]) -> ServerError:
    """One error for all that could not be done."""
    if len(failures) == 1:
        return failures[0]
    remedies = dict.fromkeys(line for each in failures for line in each.remedy)
    found = "\n".join(f"{each.sought}: {each.found}" for each in failures)
    return ServerError("to remove what nobody uses; what can be removed was", found, list(remedies))


def _worth(template: tuple[str, Connection, Database]) -> tuple[bool, int, str]:
    """What is dropped first has the least of it."""
    _, _, database = template
    is_template = database.mark.kind == marks.TEMPLATE
    return is_template, 0 if is_template else -database.oid, database.mark.used


def _may_be_used(server: Kept, url: URL | None, *, everything: bool) -> bool:
    """Whether somebody may use a server again that no run holds.

    The data of one that `pristine up` started is the user's, also when it died: only he gives it up.
    """
    if _is_up(server.directory):
        return url is not None or Cluster(server.directory, operating_system.server_account()).holds_data()
    return not everything and (url is not None or _is_of_an_installation(server.directory.name))


def _is_up(directory: Path) -> bool:
    return directory.name.startswith(up.PREFIX)


def _is_of_an_installation(name: str) -> bool:
    """Whether programs are installed that would use the server's directory again."""
    if name.startswith(installations.WHEEL_PREFIX):
        return name in {each.name for each in installations.of_wheels()}
    if name.startswith(installations.LOCAL_PREFIX):
        return name in {each.name for each in installations.on_this_machine(_NOT_CONFIGURED)}
    return False


def _described(connection: Connection, database: Database, server: str) -> Removal:
    what = f"the {database.mark.kind} {database.name} of {database.mark.project} on {server}"
    return Removal(what, databases.size(connection, database.oid))
