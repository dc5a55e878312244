"""Two workers beside none: how much sooner a suite ends, and what the plugin adds to each test."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from rows import AT_LEAST, AT_MOST, Row, Target
from running import OURS, Bench, Outcome, bench

_WORKERS = 2
_MILLISECONDS = 1000


def measure(tests: int, repetitions: int) -> Iterator[Row]:
    """Run a suite with two workers and without, in turns.

    Args:
        tests: How many it has.
        repetitions: How often.
    """
    with bench() as made:
        # Once before, for compiled modules.
        _run(made, _WORKERS, 2 * _WORKERS)
        turns = [(_run(made, 0, tests), _run(made, _WORKERS, tests)) for _ in range(repetitions)]
    alone, both = [one for one, _ in turns], [two for _, two in turns]
    yield Row(f"speed: {tests} tests, -n 0", "s", [each.seconds for each in alone])
    yield Row(f"speed: {tests} tests, -n {_WORKERS}", "s", [each.seconds for each in both])
    ratios = [one.seconds / two.seconds for one, two in turns]
    yield Row(f"speed: -n {_WORKERS} over -n 0", "times", ratios, Target(AT_LEAST, 1.7))
    yield Row("speed: processor time of all, -n 0", "s", [each.processor + each.server for each in alone])
    yield Row(f"speed: processor time of all, -n {_WORKERS}", "s", [each.processor + each.server for each in both])
    yield Row("speed: a test's own time, -n 0", "ms", [_median(each, "call") for each in alone])
    yield Row(f"speed: a test's own time, -n {_WORKERS}", "ms", [_median(each, "call") for each in both])
    yield Row("speed: fixtures of a test, -n 0", "ms", [_overhead(each) for each in alone])
    yield Row(f"speed: fixtures of a test, -n {_WORKERS}", "ms", [_overhead(each) for each in both])
    ratios = [_overhead(two) / _overhead(one) for one, two in turns]
    yield Row(f"speed: fixtures, -n {_WORKERS} over -n 0", "times", ratios, Target(AT_MOST, 1.25))


def _run(made: Bench, workers: int, tests: int) -> Outcome:
    return made.run(OURS, workers, "test_writes.py", tests)


def _overhead(outcome: Outcome) -> float:
    """Milliseconds from the start of a test's fixtures to the test, and from the test to their end."""
    return _median(outcome, "setup") + _median(outcome, "teardown")


def _median(outcome: Outcome, phase: str) -> float:
    return _MILLISECONDS * statistics.median(outcome.phases[phase])
