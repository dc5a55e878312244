"""The surroundings of a process: what a migration finds beside its request."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

# Has Python processes that a test starts watched for SQLite, see `verify.sqlite_guard.notes`. Migrations are no test.
_OF_TESTS = "PRISTINE_SQLITE_WATCH"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a process imports modules from, and its environment. The one that migrates may be none that runs tests.

    Attributes:
        path: `sys.path`, without the current directory.
        environ: The environment variables, secrets among them.
    """

    path: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)

    @classmethod
    def here(cls) -> Surroundings:
        """Those of this process."""
        environ = {name: value for name, value in os.environ.items() if name != _OF_TESTS}
        return cls(tuple(filter(None, sys.path)), environ)

    def extend_path(self) -> None:
        """Have this process find the modules, too, that are found there."""
        sys.path.extend(entry for entry in self.path if entry not in sys.path)

    def differ(self, other: Surroundings, besides: Collection[str] = ()) -> bool:
        """Whether a migration may find something else here. What pytest tells of itself does not matter.

        Args:
            other: The surroundings of another process.
            besides: Variables that do not matter either.
        """
        return self.path != other.path or self._told(besides) != other._told(besides)

    def _told(self, besides: Collection[str]) -> dict[str, str]:
        return {
            name: value
            for name, value in self.environ.items()
            if not name.startswith("PYTEST_") and name not in besides
        }


def put(variables: Mapping[str, str | None]) -> None:
    """Set variables of this process; those without a value are not set any longer."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def set_to(variables: Mapping[str, str | None]) -> Iterator[None]:
    """Have variables of this process set for as long as the context lasts."""
    before = {name: os.environ.get(name) for name in variables}
    put(variables)
    try:
        yield
    finally:
        put(before)
