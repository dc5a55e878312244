"""Eight workers beside none: how much later the tests begin, of which starting eight Pythons is none of ours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rows import AT_MOST, Row, Target
from running import MANY, OURS, PLAIN, Outcome, RunError, bench

# In the order of a turn.
_RUNS = (("plain", PLAIN, 0), ("plain", PLAIN, MANY), ("ours", OURS, 0), ("ours", OURS, MANY))


def measure(repetitions: int, uncounted: int) -> Iterator[Row]:
    """Run one test for each worker, with our fixtures and without, in turns.

    Args:
        repetitions: How often.
        uncounted: Turns before these, in which modules are compiled and the disk's cache is filled.
    """
    with bench() as made:
        found: list[list[Outcome]] = [[] for _ in _RUNS]
        for turn in range(uncounted + repetitions):
            for outcomes, (_, plugins, workers) in zip(found, _RUNS, strict=True):
                outcome = made.run(plugins, workers, "test_begins.py", MANY)
                if turn >= uncounted:
                    outcomes.append(outcome)
    first = [[_noted(outcome.first) for outcome in outcomes] for outcomes in found]
    all_began = [[_noted(outcome.all_began) for outcome in outcomes] for outcomes in found]
    for (kind, _, workers), seconds in zip(_RUNS, first, strict=True):
        yield Row(f"start: first test begins, {kind}, -n {workers}", "s", seconds)
    yield Row("start: first test begins, lateness that is ours", "s", _ours(first), Target(AT_MOST, 0.3))
    for (kind, _, workers), seconds in zip(_RUNS, all_began, strict=True):
        if workers:
            yield Row(f"start: all workers have begun, {kind}, -n {workers}", "s", seconds)
    yield Row("start: all workers have begun, lateness that is ours", "s", _ours(all_began), Target(AT_MOST, 0.3))
    for (kind, _, workers), outcomes in zip(_RUNS, found, strict=True):
        spent = [outcome.processor + outcome.server for outcome in outcomes]
        yield Row(f"start: processor time of all, server included, {kind}, -n {workers}", "s", spent)
    spent = [[outcome.processor + outcome.server for outcome in outcomes] for outcomes in found]
    yield Row("start: processor time that workers cost us more", "s", _ours(spent))


def _ours(seconds: Sequence[Sequence[float]]) -> list[float]:
    """What workers cost us more than they cost anybody, in each turn."""
    turns = zip(*seconds, strict=True)
    return [
        (ours_many - plain_many) - (ours_none - plain_none) for plain_none, plain_many, ours_none, ours_many in turns
    ]


def _noted(moment: float | None) -> float:
    if moment is None:
        raise RunError("no test noted when it began")
    return moment
