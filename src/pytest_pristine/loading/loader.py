"""A loader: puts data on top of a migrated database, and tells what they depend on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine.loading import identity, running, sources
from pytest_pristine.loading.identity import Load
from pytest_pristine.migrations import fingerprint
from pytest_pristine.migrations.fingerprint import Inputs
from pytest_pristine.migrations.reading import Read
from pytest_pristine.postgres import names


@dataclass(frozen=True, slots=True)
class Loader:
    """A function of the project's that loads data. To those who build templates it is what a migrator is.

    Two are the same when they load the same, as far as that is known beforehand.

    Attributes:
        name: What it is called, and where it stands, for people.
        load: The function.
        root: The project's root.
        origins: The modules that it is made of.
        digest: What is known beforehand to decide what it loads.
    """

    name: str = field(compare=False)
    load: Load = field(repr=False, compare=False)
    root: Path = field(repr=False, compare=False)
    origins: tuple[sources.Origin, ...] = field(repr=False, compare=False)
    digest: str = field(repr=False)

    @classmethod
    def of(cls, load: Load, inputs: Sequence[object], root: Path) -> Loader:
        """The loader that a function is.

        Args:
            load: The function.
            inputs: Paths of files and directories that it reads, and other values that decide what it loads.
            root: The project's root.

        Raises:
            LayerError: It cannot be told from others, or an input is not there.
        """
        found = identity.of(load, inputs, root)
        return cls(found.name, load, root, found.origins, names.digest(*found.parts))

    def fingerprint(self) -> str:
        """A digest of the function, the module that it stands in, and the inputs that were named."""
        return self.digest

    def migrate(self, url: URL) -> Inputs:
        """Load the data into the database at `url`.

        Returns:
            What else it depends on: modules that its own imports, files that it read.

        Raises:
            LayerError: It raised.
        """
        before, read = set(sys.modules), Read()
        try:
            running.run(self.load, self.name, url, self.root)
        finally:
            read.stop()
        imported = sources.of_modules(sorted(set(sys.modules) - before))
        modules = sources.reached([*self.origins, *imported])
        return fingerprint.record(self.root, modules, read.files, read.directories)

    def current(self, inputs: Inputs) -> bool:
        """Whether all that it turned out to depend on is unchanged."""
        return fingerprint.unchanged(inputs, self.root)
