"""A few deaths of the series, each in a chosen phase of a run; `python3 dev.py crashes` tries many moments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import MAJOR
from tests.crashes import machine
from tests.crashes.trial import ABSENT, OK
from tests.crashes.trials import KEEPER, POSTMASTER, RUN, WORKER, Trial

TRIALS = [
    Trial("cold", 0, RUN, "SIGKILL", phase="initdb", reaped=False),
    Trial("cold", 0, RUN, "SIGINT", phase="migrations"),
    Trial("warm", 2, WORKER, "SIGKILL", phase="test", linger=1),
    Trial("warm", 0, KEEPER, "SIGKILL", phase="test", reaped=False),
    Trial("warm", 0, POSTMASTER, "SIGKILL", phase="test"),
    Trial("stopped", 2, RUN, "SIGTERM", phase="restore"),
    Trial("external", 0, RUN, "SIGKILL", phase="making databases", reaped=False),
]
# On a busy machine a short phase can go by before it is seen.
_ATTEMPTS = 4
REASON = machine.reason_against()
ONCE = "who dies when is no matter of the server's version: once is enough"


@pytest.mark.skipif(MAJOR != 18, reason=ONCE)
@pytest.mark.skipif(REASON is not None, reason=f"there can be no machine for a trial: {REASON}")
@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: f"{trial.signal}-{trial.whom}-{trial.kind}-{trial.phase}")
def test_nothing_is_lost(tmp_path: Path, trial: Trial) -> None:
    """A run beside one that dies does not notice, the next passes, and nothing is left."""
    for attempt in range(_ATTEMPTS):
        result = machine.perform(trial, tmp_path / f"trial-{attempt}")
        if result.outcome != ABSENT:
            break
    assert result.problems == []
    assert result.outcome == OK
