"""Sessions of the ORM whose transactions are rolled back after the test, and what is said of them when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.plugin import cleaning, recording

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from pytest_pristine.isolation.rollback import Rollback
    from pytest_pristine.plugin.recording import Equipment


@contextmanager
def session(equipment: Equipment, node: pytest.Item, engine: Engine) -> Iterator[Session]:
    """A session for a test.

    Raises:
        DeferredConstraintError: What the test did not commit violates a deferred constraint.
    """
    from pytest_pristine.isolation.rollback import Rollback, RolledBackSession  # heavy, and most runs need none

    rollback = Rollback(engine)
    with cleaning.undone(equipment, node, commits=False), _noted(equipment, rollback):
        made = RolledBackSession(rollback=rollback)
        try:
            yield made
        finally:
            try:
                _conclude(equipment, node, rollback)
            finally:
                made.close()


@contextmanager
def _noted(equipment: Equipment, rollback: Rollback) -> Iterator[None]:
    equipment.rollbacks.append(rollback)
    try:
        yield
    finally:
        equipment.rollbacks.remove(rollback)


def _conclude(equipment: Equipment, node: pytest.Item, rollback: Rollback) -> None:
    """Roll back. What a failed test wrote is committed if its database is to be kept: it would not show otherwise."""
    if recording.has_failed(node):
        if equipment.keeps:
            equipment.commits = True
            rollback.commit()
        rollback.end()
        return
    try:
        rollback.check()
    finally:
        rollback.end()


def told(equipment: Equipment) -> list[str]:
    """What the test that runs wrote in sessions that are rolled back, in words."""
    return [f"in a session that is rolled back: {rollback.described()}" for rollback in equipment.rollbacks]
