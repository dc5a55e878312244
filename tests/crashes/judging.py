"""What a run may say that lived through a death, or died."""

from __future__ import annotations

import re

import pytest

from tests.crashes.stage import Running
from tests.crashes.trials import POSTMASTER, RUN, WORKER, Trial

# What pytest says of a test in its summary: the line that has the cause.
_SUMMARY = re.compile(r"^(?:ERROR|FAILED) (\S+)(?: - (.*))?$", re.MULTILINE)
# Tests of one worker that may fail of the server's death: the one that it hits, and one beside its restore.
_CONCERNED = 2
# Phases in which a run that loses its server can go on with another.
_DURING_TESTS = ("test", "restore")


def unharmed(run: Running) -> list[str]:
    """What is wrong with a run that nothing may have happened to."""
    text = run.text()
    found = [] if run.process.returncode == 0 else [f"the {run.name} run ended with status {run.process.returncode}"]
    return found + [f"the {run.name} run warned of something that was left"] * ("LeftoverWarning" in text)


def survivor(run: Running, trial: Trial, phase: str) -> list[str]:
    """What is wrong with a run whose server may have been killed, or that nothing may have happened to."""
    return without_server(run, trial, phase) if trial.target == POSTMASTER else unharmed(run)


def victim(run: Running, trial: Trial, phase: str) -> list[str]:
    """What is wrong with what became of the victim. A run that was killed may say what it likes."""
    if trial.target == RUN:
        return []
    if trial.target == POSTMASTER:
        return without_server(run, trial, phase)
    if trial.target == WORKER:
        return _without_worker(run)
    return unharmed(run)


def without_server(run: Running, trial: Trial, phase: str) -> list[str]:
    """What is wrong with a run whose server died: a cause for each test that failed, and the rest goes on."""
    text = run.text()
    found = []
    if run.process.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.USAGE_ERROR):
        found.append(f"the {run.name} run ended with status {run.process.returncode}")
    if "INTERNALERROR" in text:
        found.append(f"the {run.name} run met an internal error")
    failed = dict(_SUMMARY.findall(text))
    found += [f"the {run.name} run gives no cause for {test}" for test, cause in failed.items() if not cause.strip()]
    concerned = _CONCERNED * max(run.workers, 1)
    if trial.kind != "external" and phase in _DURING_TESTS and len(failed) > concerned:
        found.append(f"the {run.name} run did not go on: {len(failed)} tests failed")
    return found


def _without_worker(run: Running) -> list[str]:
    """What is wrong with a run that lost a worker. What becomes of the tests is decided by pytest-xdist.

    It has internal errors of its own when a worker ends right before it is sent its first tests.
    """
    lines = [line for line in run.text().splitlines() if line.startswith("INTERNALERROR>")]
    ours = any("pytest_pristine" in line for line in lines)
    return [f"the {run.name} run met an internal error of ours"] * ours
