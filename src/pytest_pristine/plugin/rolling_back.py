"""Sessions of the ORM whose transactions are rolled back after the test, and what is said of them when it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.plugin import cleaning, recording

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
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
    with _rolled_back(equipment, node, rollback):
        yield RolledBackSession(rollback=rollback)


@contextmanager
def async_session(equipment: Equipment, node: pytest.Item, engine: AsyncEngine) -> Iterator[AsyncSession]:
    """The same, asynchronous.

    Raises:
        DeferredConstraintError: What the test did not commit violates a deferred constraint.
    """
    from sqlalchemy.ext.asyncio import AsyncSession  # heavy, and loaded by now

    from pytest_pristine.isolation.rollback import RolledBackSession  # heavy, and most runs need none
    from pytest_pristine.isolation.rollback_in_loop import RollbackInLoop  # the same

    rollback = RollbackInLoop(engine)
    with _rolled_back(equipment, node, rollback):
        yield AsyncSession(engine, sync_session_class=RolledBackSession, rollback=rollback)


def told(equipment: Equipment) -> list[str]:
    """What the test that runs wrote in sessions that are rolled back, in words."""
    return [f"in a session that is rolled back: {rollback.described()}" for rollback in equipment.rollbacks]


def named(equipment: Equipment, found: str) -> str:
    """A text that names sessions by their process ids, with those that are rolled back called so."""
    from pytest_pristine.postgres.engines import PID  # loaded by now, if there is such a session

    for rollback in equipment.rollbacks:
        pid = rollback.connection.info.get(PID) if rollback.is_open else None
        found = re.sub(rf"\bpid {pid}\b", f"pid {pid} (the session that is rolled back after the test)", found)
    return found


@contextmanager
def _rolled_back(equipment: Equipment, node: pytest.Item, rollback: Rollback) -> Iterator[None]:
    with cleaning.undone(equipment, node, commits=False):
        equipment.rollbacks.append(rollback)
        try:
            yield
        finally:
            equipment.rollbacks.remove(rollback)
            failed = recording.has_failed(node)
            # What a failed test wrote would not show in its database, if that is kept.
            keep = failed and equipment.keeps
            equipment.commits |= keep
            rollback.finish(failed=failed, keep=keep)
