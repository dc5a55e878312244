"""Test suites that nobody here wrote, unchanged but for their database fixture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import environments
import figures
import pytest
import suites
from suites import Outcome, Suite

pytestmark = pytest.mark.acceptance


@dataclass(frozen=True, slots=True)
class Pair:
    """A suite's run with its own fixture, and with ours, one after the other on the same server."""

    suite: Suite
    theirs: Outcome
    ours: Outcome


@pytest.fixture(scope="module", params=[pytest.param(suite, id=suite.name) for suite in suites.SUITES])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Both runs."""
    suite: Suite = request.param
    python = environments.provide(Path(suites.HERE / suite.name))
    scratch = tmp_path_factory.mktemp(suite.name)
    with suites.server(python) as url:
        theirs, ours = (suites.run(suite, python, way, url, scratch) for way in ("theirs", "ours"))
    report = suites.report(scratch)
    found = {
        "theirs passed": theirs.passed, "ours passed": ours.passed, "theirs wall": theirs.wall, "ours wall": ours.wall,
        "theirs cpu": theirs.cpu, "ours cpu": ours.cpu, "migrations": report["time"]["migrations"],
        "restore": figures.median_restore(report),
    }  # fmt: skip
    figures.keep("suites", f"{suite.name} {suite.version}", found)
    return Pair(suite, theirs, ours)


def test_their_own_way_works_here(pair: Pair) -> None:
    """With its own fixture the suite passes as it does for its developers."""
    assert (pair.theirs.passed, pair.theirs.failed) == (pair.suite.passes, 0)


def test_as_many_pass_with_ours(pair: Pair) -> None:
    """With our fixture in the place of its own, as many tests pass, and none fails."""
    assert (pair.ours.passed, pair.ours.failed) == (pair.suite.passes, 0)
