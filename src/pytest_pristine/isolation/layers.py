"""Layers: data on top of the migrations, to which tests are restored, and the layer at which the database stands.

A layer is entered and left by fixtures, in whatever order pytest has them set up and torn down. Entering one switches
the database to it. Leaving one does nothing yet: what comes next decides where the database has to stand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_pristine.errors import LayerError, PristineError
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.loading.identity import Load
from pytest_pristine.loading.loader import Loader
from pytest_pristine.templates.workspace import Workspace


def _nobody() -> object:
    """Nobody in particular enters a layer."""
    return None


@dataclass(eq=False)
class Layer:
    """A state of the database that tests are restored to; what the fixture `postgres_baseline` gives.

    The first one is what the migrations left.

    Attributes:
        loaders: What was loaded on top of the migrations, in this order.
    """

    _layers: Layers = field(repr=False)
    loaders: tuple[Loader, ...] = ()
    _by: object = field(default=None, repr=False)

    @contextmanager
    def layer(self, load: Load, inputs: Sequence[object] = ()) -> Iterator[Layer]:
        """Have tests restored to what a function loads on top of this layer, within the context.

        The function is called once, however many processes and runs need the layer, as long as nothing changes that it
        depends on: the module it stands in with those of the project that this one imports, the files of the project
        that it reads, what is named in `inputs`, and the layer below.

        Args:
            load: Loads the data. It is given a SQLAlchemy `Engine`, or an `AsyncEngine` when it is a coroutine
                function, for the database to load: no other connection of the project's leads there.
            inputs: Paths of files and directories, from the function's own directory or pytest's root, and other values
                that decide what it loads.

        Yields:
            The layer, on top of which others may be entered.

        Raises:
            LayerError: The function raised, or cannot be told from others. The database is as it was.
        """
        entered = self._layers.enter(self, load, inputs)
        try:
            yield entered
        finally:
            self._layers.leave(entered)

    def __str__(self) -> str:
        return " on ".join(loader.name for loader in reversed(self.loaders)) or "the migrations"


class Layers:
    """The layers that one worker has entered, and the one at which its database stands.

    Attributes:
        root: What the migrations left.
        current: Where the database stands.
        switches: How often it was switched.
    """

    def __init__(
        self,
        workspace: Workspace,
        isolation: Isolation,
        directory: Path,
        *,
        is_as_made: bool,
        by: Callable[[], object] = _nobody,
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        """Stand at what the migrations left.

        Args:
            workspace: The database.
            isolation: Restores it.
            directory: The project's root.
            is_as_made: Nothing but us can have written to it since it was made.
            by: Gives who enters a layer; see `wanted`.
            around: A context in which the database is switched.
        """
        self.root = self.current = Layer(self)
        self.switches = 0
        self._workspace = workspace
        self._isolation = isolation
        self._directory = directory
        self._is_as_made = is_as_made
        self._by = by
        self._around = around
        self._entered: list[Layer] = []
        # Fixtures may be set up in other threads than tests.
        self._lock = threading.RLock()

    def enter(self, below: Layer, load: Load, inputs: Sequence[object]) -> Layer:
        """Switch to a layer on top of another; see `Layer.layer`."""
        loader = Loader.of(load, inputs, self._directory)
        entered = Layer(self, (*below.loaders, loader), self._by())
        with self._lock:
            self._check_made(loader)
            self.stand_on(entered)
            self._entered.append(entered)
        return entered

    def leave(self, layer: Layer) -> None:
        """Have a layer be none that anybody wants. The database stays where it is until somebody wants another."""
        with self._lock:
            self._entered.remove(layer)

    @property
    def is_left(self) -> bool:
        """Whether the database stands at a layer that nobody wants any more."""
        return bool(self.current.loaders) and self.current not in self._entered

    def wanted(self, sees: Callable[[object], bool]) -> Layer:
        """The layer that a test wants: of those that it knows of the one that was entered last.

        Args:
            sees: Whether it knows of one, by who entered it.
        """
        with self._lock:
            return next((each for each in reversed(self._entered) if sees(each._by)), self.root)  # noqa: SLF001 - ours

    def stand_on(self, layer: Layer) -> bool:
        """Switch to a layer unless the database stands there; gives whether it was switched.

        Raises:
            LayerError: Its data cannot be loaded. The database is as it was.
            RestoreError: The database cannot be made anew.
        """
        with self._lock:
            if layer.loaders == self.current.loaders:
                self.current = layer
                return False
            with self._around():
                self._switch(layer)
            self.current = layer
            self.switches += 1
            return True

    def _switch(self, layer: Layer) -> None:
        make, has_made = self._workspace.stack(layer.loaders), False
        if self._workspace.template is None:
            # There is no template to begin with: what is loaded on top of must be pristine.
            self._isolation.prepare()

        def noted() -> int | None:
            nonlocal has_made
            make()
            has_made = True
            return self._workspace.copied

        try:
            self._isolation.move_to(noted)
        except BaseException:
            if has_made:
                # It cannot be restored. The next restore makes the old one.
                self._workspace.stack(self.current.loaders)()
            raise

    def _check_made(self, loader: Loader) -> None:
        """Refuse to lose what was written by hand: a layer is built on a template, which has none of it.

        Raises:
            LayerError: There is something.
        """
        if self._is_as_made:
            return
        sought = f"the ground for the layer that {loader.name} loads: a database as the migrations left it"
        remedy = [
            "load it as a layer, too: override postgres_baseline instead of apply_migrations",
            "or have the migrations make it: give migrated_database() a migrator that does",
        ]
        self.stand_on(self.root)
        try:
            beside = self._isolation.made_beside()
        except PristineError as error:
            raise LayerError(sought, f"apply_migrations has changed it by hand: {error.found}", remedy) from error
        if beside:
            raise LayerError(sought, f"apply_migrations has written to it by hand: {beside}", remedy)
        self._is_as_made = True
