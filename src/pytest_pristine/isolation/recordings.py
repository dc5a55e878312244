"""What was recorded of contents that the database had before, and may have again: it is not read a second time."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from pytest_pristine.isolation.manifest import Manifest
from pytest_pristine.isolation.watch import Watch

# Contents that are remembered, those that were left last: modules that have layers follow each other at random.
_KEPT = 8
# Tables of such contents whose rows are in files of their own: each is open as long as it is remembered.
_FILES = 16


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded of some contents.

    Attributes:
        watch: What is known of the database that had them; without a connection.
        manifest: What that held.
    """

    watch: Watch
    manifest: Manifest


@dataclass
class Recordings:
    """Those that a process remembers."""

    _kept: dict[Hashable, Recording] = field(default_factory=dict)

    def keep(self, contents: Hashable, recording: Recording) -> None:
        """Remember a recording, and forget another for it if there are many.

        Args:
            contents: What tells the contents from any other; None where nothing does.
            recording: What was recorded of them.
        """
        if contents is None or recording.watch.baseline.files > _FILES:
            recording.watch.baseline.close()
            return
        self._kept[contents] = recording
        while len(self._kept) > _KEPT:
            self._kept.pop(next(iter(self._kept))).watch.baseline.close()

    def take(self, contents: Hashable) -> Recording | None:
        """The recording of some contents, which is forgotten here; None where there is none."""
        return self._kept.pop(contents, None)

    def close(self) -> None:
        """Forget all."""
        for recording in self._kept.values():
            recording.watch.baseline.close()
        self._kept.clear()
