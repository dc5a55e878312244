"""How it is measured: contenders take turns, and only the undoing is timed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from schema import Work
from ways import Way

# Seconds that a contender is measured in one turn; there are several, for what slows the machine down for a while is to
# slow all of them down.
_TURN_SECONDS = 0.1
# Seconds after which a contender is not repeated any more, however few times it was.
_PATIENCE = 3


class NotCleanError(Exception):
    """A way that isolates left rows behind: its time is that of something else."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How often something is measured.

    Attributes:
        seconds: A contender is measured until it took this long in all, the test's writing included.
        least: Repetitions that it gets at least, unless they take longer than anybody would wait.
        most: Repetitions that it gets at most.
    """

    seconds: float
    least: int
    most: int

    def is_spent(self, repetitions: int, seconds: float) -> bool:
        """Whether a contender had its share."""
        is_enough = repetitions >= self.most or (repetitions >= self.least and seconds >= self.seconds)
        return is_enough or seconds >= _PATIENCE


@dataclass(frozen=True, slots=True)
class Times:
    """What became of the repetitions.

    Attributes:
        median: In milliseconds.
        p95: The 95th of a hundred, in milliseconds; the slowest when there are fewer than twenty.
        least: The fastest, in milliseconds.
        repetitions: How many there were.
    """

    median: float
    p95: float
    least: float
    repetitions: int


def summarise(seconds: Sequence[float]) -> Times:
    """The figures of some repetitions, given in seconds."""
    ordered = sorted(1000 * each for each in seconds)
    p95 = ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))]
    return Times(round(statistics.median(ordered), 4), round(p95, 4), round(ordered[0], 4), len(ordered))


@dataclass
class Contender:
    """A way, and the test that it is to undo.

    Attributes:
        way: The way.
        work: The test.
        seconds: What the undoing took, once for each repetition.
        error: Why there is no figure; empty when there is.
    """

    way: Way
    work: Work
    seconds: list[float] = field(default_factory=list)
    error: str = ""
    _spent: float = 0.0

    def take_turn(self, effort: Effort) -> bool:
        """Measure for a while; gives whether there is more to do.

        The first repetition is not counted: others have used the server's memory and the processor's since.
        """
        self.way.before()
        self.once()
        began = time.perf_counter()
        while True:
            self.seconds.append(self.once())
            now = time.perf_counter()
            if effort.is_spent(len(self.seconds), self._spent + now - began):
                return False
            if now - began >= _TURN_SECONDS and len(self.seconds) >= effort.least:
                self._spent += now - began
                return True

    def once(self) -> float:
        """Be the test, and undo it; gives the seconds that the undoing took."""
        self.way.test(self.work)
        began = time.perf_counter()
        self.way.undo()
        return time.perf_counter() - began

    def times(self) -> Times:
        """The figures."""
        return summarise(self.seconds)


def in_turns(contenders: Sequence[Contender], effort: Effort) -> None:
    """Measure contenders in turns, A B C A B C, and see that each left its tables as they were.

    One that fails is left out from there on, with the reason.
    """
    pending = list(contenders)
    before: dict[int, int] = {}
    while pending:
        for contender in tuple(pending):
            try:
                before.setdefault(id(contender), contender.way.count(contender.work))
                if contender.take_turn(effort):
                    continue
                _check(contender, before[id(contender)])
            except Exception as error:  # noqa: BLE001 - whatever another project's code raises is its result
                contender.error = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            pending.remove(contender)


def _check(contender: Contender, before: int) -> None:
    after = contender.way.count(contender.work)
    if contender.way.isolates and after != before:
        raise NotCleanError(f"{after} rows where there were {before}")
