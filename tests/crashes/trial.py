"""One trial, in a process of its own: `python -m tests.crashes.trial TRIAL DIRECTORY`, both given by `machine`."""

from __future__ import annotations

import json
import signal
import sys
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.crashes import hangs, judging, leftovers, phases
from tests.crashes.stage import LIMIT, HungError, Running, Stage, until
from tests.crashes.trials import TARGETS, WORKER, Trial

RESULT = "result.json"
# Outcomes. A trial whose target was gone before the moment proves nothing.
OK, ABSENT, LOST, HUNG, BROKEN = "ok", "absent", "lost", "hung", "broken"
# Seconds that a test of the victim and of the second run takes. With workers half as many come one after the other.
_PACE, _PACE_WITH_WORKERS = 0.1, 0.18
_PACE_OF_SECOND = {True: 0.3, False: 0.15}
# Seconds that the server stays for the last look, and if that came too late, for another.
_LAST_LINGERS = (2, 10)
# Seconds between two looks at whether the moment has come.
_INTERVAL = 0.005
_INTERVAL_OF_LOOKS = 0.02


@dataclass
class Result:
    """What came of a trial.

    Attributes:
        trial: The trial.
        outcome: OK, ABSENT, LOST, HUNG or BROKEN: the harness itself failed.
        phase: What the victim was doing when the signal was sent.
        second_phase: What the second run was doing then.
        moment: Seconds from the victim's start to the signal.
        problems: What was wrong.
        statuses: Exit statuses of the runs, by what they are called.
        begins: When each target was seen first, in seconds from the victim's start, where nothing is killed.
        ends: When it was seen last.
        seconds: How long the trial took.
        kept: Where its output is.
    """

    trial: Trial
    outcome: str = BROKEN
    phase: str = ""
    second_phase: str = ""
    moment: float = 0.0
    problems: list[str] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)
    begins: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    kept: str = ""


def perform(trial: Trial, kept: Path) -> Result:
    """Perform a trial."""
    outside = frozenset(each.pid for each in phases.processes())
    result = Result(trial)
    with Stage(trial, kept) as stage:
        try:
            _play(stage, result, outside)
        except HungError as error:
            hangs.describe(kept, outside)
            result.outcome = HUNG
            result.problems.append(str(error))
        result.statuses = {run.name: run.process.returncode for run in stage.runs if run.over}
    return result


def _play(stage: Stage, result: Result, outside: frozenset[int]) -> None:
    trial = stage.trial
    second = _prepare(stage)
    began = time.monotonic()
    pace = _PACE_WITH_WORKERS if trial.workers else _PACE
    victim = stage.start("victim", workers=trial.workers, pace=pace)
    struck = False
    while not struck:
        now = time.monotonic() - began
        if second is None and now >= trial.second:
            second = _start_second(stage)
        if _is_too_early(trial, now):
            time.sleep(_INTERVAL)
            continue
        there = phases.processes()
        targets = stage.targets(victim, there)
        if trial.signal:
            struck = _strike(stage, victim, targets, there, now, result)
            # Right after it: the run may have noticed by now, but does the same still.
            result.second_phase = phases.BEGIN if second is None else phases.of(second.process.pid, second.marks, there)
        else:
            _note(result, targets, now)
        # What lingers is waited for; a server of the user's does not end by itself.
        if not targets:
            break
        if now > LIMIT:
            raise HungError(f"there still is, {LIMIT} s after the victim was started: {', '.join(targets)}")
        time.sleep(_INTERVAL if trial.signal else _INTERVAL_OF_LOOKS)
    second = second or _start_second(stage)
    for run in (victim, second):
        run.wait()
    stage.mend()
    _end(stage, result, outside)
    if struck:
        result.problems += judging.victim(victim, trial, result.phase)
        result.problems += judging.survivor(second, trial, result.second_phase)
    else:
        result.problems += judging.unharmed(victim) + judging.unharmed(second)
    result.outcome = LOST if result.problems else OK if struck or not trial.signal else ABSENT


def _is_too_early(trial: Trial, now: float) -> bool:
    """Whether there is nothing to look for yet. To look takes processor time, of which the runs are to have all."""
    return bool(trial.signal) and not trial.phase and now < trial.after


def _prepare(stage: Stage) -> Running | None:
    """Bring about the situation that the trial begins in; gives the second run if it is there already."""
    if stage.trial.kind == "stopped":
        assert stage.start("first", linger=0).wait() == 0
        until(lambda: not stage.home.processes(), "the server of the first run stops")
    if not stage.trial.second_is_first:
        return None
    second = _start_second(stage)
    until(lambda: second.over or second.phase() == "test", "the second run is at a test")
    return second


def _start_second(stage: Stage) -> Running:
    trial = stage.trial
    pace = _PACE_OF_SECOND[trial.second_is_first] * max(trial.second_workers, 1)
    return stage.start("second", workers=trial.second_workers, pace=pace)


def _strike(
    stage: Stage, victim: Running, targets: dict[str, int], there: list[phases.Process], now: float, result: Result
) -> bool:
    """Kill if the moment has come and the target is there; gives whether it was."""
    trial = stage.trial
    pid = targets.get(trial.target)
    if pid is None:
        return False
    who = pid if trial.target == WORKER else victim.process.pid
    phase = phases.of(who, victim.marks, there, alone=trial.target == WORKER)
    if trial.phase not in ("", phase):
        return False
    try:
        stage.strike(pid)
    except ProcessLookupError:
        return False
    result.phase, result.moment = phase, round(now, 3)
    return True


def _note(result: Result, targets: dict[str, int], now: float) -> None:
    for target in TARGETS:
        if target in targets:
            result.begins.setdefault(target, round(now, 3))
            result.ends[target] = round(now, 3)


def _end(stage: Stage, result: Result, outside: frozenset[int]) -> None:
    """The next run, which must pass, and what is left after it."""
    if stage.external is not None:
        result.problems += _run(stage, "next", 0) + leftovers.on(stage.external)
        stage.stop_external()
    else:
        # On a busy machine a server may have stopped before it can be looked at.
        for number, linger in enumerate(_LAST_LINGERS):
            result.problems += _run(stage, f"next{number or ''}", linger)
            left = leftovers.on_servers(stage.home)
            if left is not None:
                result.problems += left
                break
        else:
            result.problems.append("the server could never be looked at")
    result.problems += leftovers.at_the_end(stage.home, outside)


def _run(stage: Stage, name: str, linger: float) -> list[str]:
    run = stage.start(name, linger=linger)
    run.wait()
    return judging.unharmed(run)


def main(arguments: list[str]) -> int:
    """Perform the trial that the command line describes, and write down what came of it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that runs us in the background has us ignore it, and so would all that we start.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    text, directory = arguments
    trial, kept = Trial(**json.loads(text)), Path(directory)
    began = time.monotonic()
    try:
        result = perform(trial, kept)
    except Exception:  # noqa: BLE001 - whatever it is, it is told as the result
        result = Result(trial, problems=[traceback.format_exc()])
    result.seconds = round(time.monotonic() - began, 2)
    (kept / RESULT).write_text(json.dumps(asdict(result), indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
