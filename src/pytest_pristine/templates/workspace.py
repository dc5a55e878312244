"""The workspace: the migrated database that one worker works in, leased to it as long as its run lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from sqlalchemy.engine import URL

from pytest_pristine.errors import RestoreError
from pytest_pristine.loading.loader import Loader
from pytest_pristine.migrations.evidence import Evidence
from pytest_pristine.postgres import connections, databases, locks
from pytest_pristine.postgres.anchor import PATIENCE, Anchor
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.postgres.properties import Properties
from pytest_pristine.templates import copies, ground, keeping
from pytest_pristine.templates.copies import Source
from pytest_pristine.templates.ground import Sealed
from pytest_pristine.templates.template import Builder


def _nothing(_: Connection) -> None:
    """Nothing is held."""


def _cannot(_test: str, _limit: int) -> str:
    """There is no place for another database."""
    return ""


def _no_source() -> Source | None:
    """It is no copy."""
    return None


def _not_here(_: Sequence[Loader]) -> Callable[[], None]:
    raise NotImplementedError("layers in a database of the project's own making")


@dataclass(slots=True)
class Workspace:
    """A migrated database that belongs to this worker.

    Attributes:
        url: Where it is.
        template: The template or layer that it is a copy of now; None where the role may make no databases, and works
            in the one that the user named.
        rebuild: Makes the database anew, as it was when it was handed out: same URL, contents, settings and grants.
            Every session in it is ended, those of the caller too. It raises `PristineError` when it cannot.
        hold: Has a connection to it hold the lease of the run as long as it lives. It raises `RestoreError` when
            another run has the database by now.
        keep: Makes it anew as `rebuild` does, and keeps the old one as the test that is named left it, unless the run
            has kept so many already. It gives the name that the old one has now, or nothing: it was not kept then, and
            is not made anew either.
        contested: The id of the run, where another may come to work in the database once this one has lost its lease:
            its name is no run's own. Else empty.
        migrated: What was found after the migrations; None where they tell nothing.
        source: Tells what it is a copy of at the moment, for whoever makes further copies; None where it is no copy.
        stack: Gives what makes it anew with what loaders load on top of the migrations, one after the other; `rebuild`
            does so from then on. Each layer is loaded once, as a rule before it gives anything, and kept. Both raise
            `PristineError` when they cannot: `rebuild` makes then what it made before.
        copied: Oid of the template that `stack` made it a copy of last; None where it has not, or that is gone by now.
    """

    url: URL
    template: str | None
    rebuild: Callable[[], None] = field(repr=False, compare=False)
    hold: Callable[[Connection], None] = field(repr=False, compare=False, default=_nothing)
    keep: Callable[[str, int], str] = field(repr=False, compare=False, default=_cannot)
    contested: str = ""
    migrated: Evidence | None = None
    source: Callable[[], Source | None] = field(repr=False, compare=False, default=_no_source)
    stack: Callable[[Sequence[Loader]], Callable[[], None]] = field(repr=False, compare=False, default=_not_here)
    copied: int | None = None


@dataclass(slots=True)
class Copy:
    """A copy of a template that a run has made for one of its workers. It can be sent to another process.

    Attributes:
        url: Where it is.
        maintenance: The server's maintenance database.
        mark: Its mark, which has the id of the run.
        template: What it is a copy of.
        base: What the migrations made; what it was a copy of at first.
        wanted: What it has beside its contents; None for what a new database has.
        oid: Its oid, which changes when it is made anew.
        is_target: It took the place of the database that the user named.
        session: Id of the test session.
        rebuilds: Layers are loaded anew once in this session, whatever earlier ones left.
    """

    url: URL
    maintenance: URL
    mark: Mark
    template: Database
    wanted: Properties | None
    oid: int | None
    is_target: bool = False
    session: str = ""
    rebuilds: bool = False
    base: Database = field(init=False)
    # The layers that this process has found or built, by what they stand on and what is on it.
    _layers: dict[tuple[int, Loader], Database] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.base = self.template

    def rebuild(self, anchor: Anchor) -> None:
        """Make it anew."""
        self.oid = copies.remake(anchor, self.url, self.mark, self.template, self.wanted, self.oid)

    def stack(self, anchor: Anchor, loaders: Sequence[Loader]) -> Database:
        """The layer that loaders make on top of the migrations, built if need be; see `Workspace.stack`.

        Raises:
            LayerError: A loader failed.
            RestoreError: What it stands on is gone.
        """
        connection, top = anchor.alive(), self.base
        with connections.whole("to load a layer", self.maintenance):
            for loader in loaders:
                top = self._layer(connection, top, loader)
        return top

    def switch(self, anchor: Anchor, template: Database) -> None:
        """Make it anew as a copy of another template, which is one of its layers or what the migrations made."""
        before = self.template, self.mark
        layer = template.mark.fingerprint if template is not self.base else ""
        self.template, self.mark = template, replace(self.mark, created=template.mark.created, layer=layer)
        try:
            self.rebuild(anchor)
        except BaseException:
            self.template, self.mark = before
            raise

    def _layer(self, connection: Connection, below: Database, loader: Loader) -> Database:
        """The layer that a loader makes on top of a template, built if need be."""
        known = self._layers.get((below.oid, loader))
        if known is not None and databases.oid(connection, known.name) == known.oid:
            return known
        on = Sealed(connection, ground.current(connection, below))
        project, run = self.mark.project, self.mark.run
        builder = Builder(connection, self.maintenance, on, loader, project, run, self.session, loader.name)
        with builder.template(None, rebuild=self.rebuilds) as found:
            self._layers[below.oid, loader] = found
        return found

    def keep(self, anchor: Anchor, test: str, limit: int) -> str:
        """Make it anew, and keep the old one; see `Workspace.keep`."""
        connection = anchor.alive()
        with locks.held(connection, locks.keeping(self.mark.project)):
            if not keeping.has_room(connection, self.mark, test, limit):
                return ""
            aside = keeping.kept(self.mark, test)
            self.oid = copies.remake(anchor, self.url, self.mark, self.template, self.wanted, self.oid, aside=aside)
            keeping.drop_others(connection, aside, limit)
        return aside.name

    def hold(self, connection: Connection) -> None:
        """Have a connection to it hold the lease of the run, so that nobody drops it.

        Raises:
            RestoreError: Another run has it by now.
        """
        held = locks.join_within(connection, locks.lease(self.mark.run), PATIENCE)
        if not held or not self._is_ours(connection):
            raise RestoreError(
                f"the database {str(self.url.database)!r}, to which this run lost its connections",
                "another run has taken it over since. Nothing was touched",
                ["see the server's log for the reason why the connections ended, and run the tests again"],
            )

    def _is_ours(self, connection: Connection) -> bool:
        """Whether it is the one that this run made. A test may have written anything into its COMMENT."""
        name = str(self.url.database)
        found = databases.find(connection, name)
        return databases.oid(connection, name) == self.oid or (found is not None and found.mark.run == self.mark.run)


@contextmanager
def work_in(
    copy: Copy, anchor: Anchor | None = None, revive: Callable[[], bool] = lambda: False
) -> Iterator[Workspace]:
    """Work in a copy that the run has made.

    Args:
        copy: The copy.
        anchor: Holds the lease of the run. A process that has none makes one when it needs it.
        revive: Starts the server again if it died and is ours.
    """
    made: list[Anchor] = []

    def holding() -> Anchor:
        if anchor is not None:
            return anchor
        if not made:
            made.append(_anchor(copy, revive))
        return made[0]

    def rebuild() -> None:
        copy.rebuild(holding())

    def keep(test: str, limit: int) -> str:
        return copy.keep(holding(), test, limit)

    def source() -> Source:
        return Source(copy.maintenance, copy.mark, copy.template, copy.wanted)

    def stack(loaders: Sequence[Loader]) -> Callable[[], None]:
        template = copy.stack(holding(), loaders)

        def switch() -> None:
            copy.switch(holding(), template)
            workspace.template = template.name
            # One that another session has built anew meanwhile has another oid for good.
            is_there = databases.oid(holding().connection, template.name) == template.oid
            workspace.copied = template.oid if is_there else None

        return switch

    contested = copy.mark.run if copy.is_target else ""
    migrated = Evidence.read(copy.template.mark.migrated)
    workspace = Workspace(copy.url, copy.template.name, rebuild, copy.hold, keep, contested, migrated, source, stack)
    try:
        yield workspace
    finally:
        for each in made:
            each.close()


def _anchor(copy: Copy, revive: Callable[[], bool]) -> Anchor:
    """A connection of a worker that holds the lease together with the others of the run."""
    anchor = Anchor(copy.maintenance, f"worker of run {copy.mark.run}", revive)
    try:
        anchor.join(locks.lease(copy.mark.run))
    except BaseException:
        anchor.close()
        raise
    return anchor
