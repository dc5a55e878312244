"""What came of the trials, for people: a table of where the signals hit, and how to repeat what went wrong."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from tests.crashes import phases
from tests.crashes.trial import ABSENT, BROKEN, HUNG, LOST, OK, Result
from tests.crashes.trials import SIGNALS

# What makes a series fail.
BAD = (LOST, HUNG, BROKEN)
_OUTCOMES = (OK, LOST, HUNG, BROKEN)


def line(number: int, result: Result) -> str:
    """A trial in a line."""
    trial = result.trial
    where = f"{result.moment:.2f} s, {result.phase}" if result.phase else "not there any more"
    situation = f"{trial.kind}{', 2 workers' if trial.workers else ''}"
    return f"{number:4} {result.outcome:6} {trial.signal} to {trial.whom} ({situation}) at {where}, {result.seconds} s"


def table(results: Iterable[Result]) -> Iterator[str]:
    """How many signals hit what in which phase, and what came of it."""
    hit = [result for result in results if result.phase]
    counts = Counter((result.phase, result.trial.whom, result.trial.signal, result.outcome) for result in hit)
    yield f"{'phase':20}{'target':12}{'signal':10}" + "".join(f"{outcome:>8}" for outcome in _OUTCOMES)
    rows = {key[:3] for key in counts}
    for phase, whom, signal in sorted(rows, key=lambda row: (phases.ALL.index(row[0]), row[1], SIGNALS.index(row[2]))):
        numbers = [counts[phase, whom, signal, outcome] for outcome in _OUTCOMES]
        yield f"{phase:20}{whom:12}{signal:10}" + "".join(f"{number or '':>8}" for number in numbers)
    totals = [sum(1 for result in hit if result.outcome == outcome) for outcome in _OUTCOMES]
    yield f"{'all':42}" + "".join(f"{total:>8}" for total in totals)


def bad(number: int, result: Result) -> Iterator[str]:
    """What went wrong in a trial, and how to repeat it."""
    yield line(number, result)
    for problem in result.problems:
        yield from (f"       {each}" for each in problem.splitlines())
    yield f"       exit statuses: {', '.join(f'{name} {status}' for name, status in result.statuses.items())}"
    yield f"       output: {result.kept}"
    yield f"       again:  python3 dev.py crashes --trial {shlex.quote(json.dumps(asdict(result.trial)))}"


def summary(results: Sequence[Result], seconds: float) -> str:
    """The last line."""
    absent = sum(1 for result in results if result.outcome == ABSENT)
    each = seconds / max(len(results), 1)
    return (
        f"{len(results)} moments in {seconds:.0f} s, {each:.1f} s each; "
        f"{sum(1 for result in results if result.outcome == LOST)} lost, "
        f"{sum(1 for result in results if result.outcome == HUNG)} hung, "
        f"{sum(1 for result in results if result.outcome == BROKEN)} broken; in {absent} the target had ended before"
    )


def as_json(seed: int, results: Sequence[Result]) -> str:
    """All of it for programs."""
    return json.dumps({"seed": seed, "results": [asdict(result) for result in results]}, indent=1)
