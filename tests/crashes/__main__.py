"""Kill processes of test runs at random moments: nothing may be lost, and nothing may hang.

The exit status is 1 when something was. `--trial` repeats one trial, as the report describes it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.crashes import machine, report, trials
from tests.crashes.trial import Result
from tests.crashes.trials import Life, Trial

WORDS = (*trials.KINDS, *trials.TARGETS, *trials.SIGNALS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a series; gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.crashes", description=__doc__)
    parser.add_argument("--moments", type=int, default=200, help="how many trials (200)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (1)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first (0)")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (2)")
    only = f"a kind, target or signal to choose among, any number of times: {', '.join(WORDS)}"
    parser.add_argument("--only", action="append", default=[], choices=WORDS, metavar="WORD", help=only)
    parser.add_argument("--trial", type=lambda text: Trial(**json.loads(text)), help="repeat this one")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results here, too")
    parser.add_argument("--keep", type=Path, help="directory for the output of what goes wrong (a new one in /tmp)")
    chosen = parser.parse_args(arguments)
    reason = machine.reason_against()
    if reason is not None:
        print(f"no trial can be made here: {reason}", file=sys.stderr)
        return 1
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return series(chosen, chosen.keep or Path(tempfile.mkdtemp(prefix="crashes-")))


def series(chosen: argparse.Namespace, kept: Path) -> int:
    """Draw trials, perform and report them; gives the exit status."""
    began = time.monotonic()
    numbers = range(chosen.first, chosen.first + chosen.moments)
    drawn = [chosen.trial] * chosen.moments if chosen.trial else _draw(chosen, numbers, kept)
    results: list[Result] = []
    try:
        for number, result in zip(numbers, perform(drawn, kept, chosen.jobs), strict=True):
            results.append(result)
            print(report.line(number, result), flush=True)
            if result.outcome not in report.BAD:
                shutil.rmtree(result.kept)
    except KeyboardInterrupt:
        print("interrupted; until now:")
    print("", *report.table(results), "", sep="\n")
    failed = [
        (number, result) for number, result in zip(numbers, results, strict=False) if result.outcome in report.BAD
    ]
    for number, result in failed:
        print(*report.bad(number, result), sep="\n")
    print(report.summary(results, time.monotonic() - began))
    if chosen.json:
        chosen.json.write_text(report.as_json(chosen.seed, results), encoding="utf-8")
    if not failed:
        shutil.rmtree(kept)
    return int(bool(failed) or len(results) < len(drawn))


def _draw(chosen: argparse.Namespace, numbers: Iterable[int], kept: Path) -> list[Trial]:
    """The trials, after measuring how long runs live here."""
    places = trials.situations(chosen.only)
    calm = [Trial(kind, workers, trials.RUN, "", linger=1) for kind, workers in places]
    lives = {}
    for place, result in zip(places, perform(calm, kept / "calm", chosen.jobs), strict=True):
        if result.problems:
            raise SystemExit("\n".join(["without any signal:", *report.bad(0, result)]))
        lives[place] = Life(result.begins, result.ends, result.trial.linger)
        print(f"{place[0]}, {place[1]} workers: a run takes {result.ends[trials.RUN]:.1f} s", flush=True)
    shutil.rmtree(kept / "calm")
    return [trials.draw(chosen.seed, number, lives, chosen.only) for number in numbers]


def perform(drawn: Sequence[Trial], kept: Path, jobs: int) -> Iterator[Result]:
    """Perform trials, some at a time; gives the results in their order."""
    with ThreadPoolExecutor(jobs) as pool:
        try:
            yield from pool.map(machine.perform, drawn, [kept / str(number) for number in range(len(drawn))])
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            machine.end_all()
            raise


if __name__ == "__main__":
    sys.exit(main())
