"""Proving that a restored database is pristine, and naming the test that is to blame when it is not."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pytest_pristine import clock
from pytest_pristine.isolation.manifest import Difference, Manifest
from pytest_pristine.postgres import snapshots

ALWAYS, SAMPLED, OFF = "always", "sampled", "off"
# The part of the time of restores that proofs may take when they are sampled.
_SHARE = 0.1


@dataclass
class Proof:
    """When to prove, and what is known of who wrote when.

    Attributes:
        mode: `always`, `sampled` or `off`.
        manifest: What the database holds when it is pristine.
        spent: Seconds that proofs took.
        restoring: Seconds that restores took.
        proven: How many restores were proven.
    """

    mode: str
    manifest: Manifest
    spent: float = 0.0
    restoring: float = 0.0
    proven: int = 0
    # Full ids of the first transactions that had not begun when tests were restored, and the tests.
    _ends: list[int] = field(default_factory=list)
    _tests: list[str] = field(default_factory=list)

    def is_due(self) -> bool:
        """Whether this restore is to be proven. Of those that are sampled the first one is."""
        if self.mode == SAMPLED:
            return self.spent <= self.restoring * _SHARE
        return self.mode == ALWAYS

    def remember(self, test: str, following: int) -> None:
        """Note that a test was restored.

        Args:
            test: Its name.
            following: Full id of the first transaction that had not begun.
        """
        self._ends.append(following)
        self._tests.append(test)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the time of a proof."""
        began = clock.now()
        try:
            yield
        finally:
            self.spent += clock.now() - began

    def told(self, differences: Sequence[Difference]) -> list[str]:
        """Differences in words, each with the tests that wrote it, as far as that is known."""
        return [self._told(difference) for difference in differences]

    def _told(self, difference: Difference) -> str:
        who = dict.fromkeys(filter(None, map(self._writer, difference.writers)))
        return f"{difference.what}, written by {', '.join(who)}" if who else difference.what

    def _writer(self, writer: int) -> str:
        """The test in which a transaction began; empty when it is none that is known."""
        ends = [snapshots.lower(end) for end in self._ends]
        place = bisect_right(ends, writer)
        return self._tests[place] if place < len(self._tests) else ""
