"""Whatever random tests commit, pg_dump says after them what it said before."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.oracle.machine import Machine
from tests.oracle.places import World

# Examples in each world. A short run is always the same, a long one never.
EXAMPLES = int(os.environ.get("PRISTINE_ORACLE_EXAMPLES", "0"))
_FEW = 3
# Tests in an example.
_TESTS = 6

SETTINGS = settings(
    max_examples=EXAMPLES or _FEW,
    stateful_step_count=_TESTS,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    print_blob=True,
    verbosity=Verbosity.quiet,
    suppress_health_check=list(HealthCheck),
    # Stories are made shorter by `reduction`, which knows what statements are.
    phases=(Phase.generate,),
)


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_random_tests_leave_nothing(world: World) -> None:
    """After every restore the database is, to pg_dump and to a second client, the template that it was copied from."""
    run_state_machine_as_test(lambda: Machine(world), settings=SETTINGS)  # type: ignore[arg-type] # a factory will do
