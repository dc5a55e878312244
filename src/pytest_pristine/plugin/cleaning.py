"""Restoring around a test, recording what it took, and saying what the test should not have left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_pristine import clock
from pytest_pristine.errors import PristineError, RestoreBlockedError, UnprovenError
from pytest_pristine.plugin import covering, layering, recording
from pytest_pristine.warnings import EscapedWarning, LeftoverWarning, SchemaChangedWarning

if TYPE_CHECKING:
    from pytest_pristine.isolation.restored import Restored
    from pytest_pristine.plugin.recording import Equipment
    from pytest_pristine.verify.records import TestRecord


@contextmanager
def undone(equipment: Equipment, node: pytest.Item, *, commits: bool) -> Iterator[None]:
    """Have a test undone. Of several fixtures of a test that want it, the first one sees to it.

    Args:
        equipment: What the process has.
        node: The test.
        commits: The test is meant to commit: nothing that it commits has escaped.

    Raises:
        RestoreBlockedError: The test left a session that holds a lock.
        UnprovenError: It was put back, and is not as it was all the same.
    """
    if equipment.undoing:
        equipment.commits |= commits
        yield
        return
    before(equipment, node)
    equipment.undoing, equipment.commits = True, commits
    try:
        yield
    finally:
        equipment.undoing = False
        restored = after(equipment, node)
        if not equipment.commits and restored is not None:
            _tell_escape(recording.of_test(node), restored, node)


def before(equipment: Equipment, node: pytest.Item) -> None:
    """Make the database pristine for a test. What stands in the way is not the test's, which runs all the same."""
    record = recording.of_test(node)
    record.cleaned = True
    # The test may have asked for this while it runs: then nobody foresaw where the database has to stand.
    layering.settle(equipment.layers, node)
    restored = None
    try:
        with _timed(record):
            equipment.sessions.renew()
            restored = equipment.isolation.prepare()
    except RestoreBlockedError as error:
        record.found.append(f"{equipment.who()} held a lock: {error.found}")
        node.warn(LeftoverWarning(f"before {node.nodeid}, {error.found}; it was ended, and the database made anew"))
    else:
        if restored:
            record.found.append(f"{equipment.who(node.nodeid)} left {restored}")
        _warn(restored, node, f"before {node.nodeid} something")
    covering.leave_out(equipment, restored)
    record.restore_before = record.restore
    equipment.since.clear()


def after(equipment: Equipment, node: pytest.Item) -> Restored | None:
    """Make the database pristine after a test; gives what was put back.

    Raises:
        RestoreBlockedError: The test left a session that holds a lock.
        UnprovenError: It was put back, and is not as it was all the same.
    """
    record = recording.of_test(node)
    covering.look(equipment, record)
    restored = None
    try:
        restored = _undo(equipment, record, node)
        if equipment.isolation.proof.is_due():
            _prove(equipment, record, node)
    finally:
        touched = covering.leave_out(equipment, restored)
        record.covered = sorted({*record.covered, *touched})
    return restored


def _undo(equipment: Equipment, record: TestRecord, node: pytest.Item) -> Restored:
    if recording.has_failed(node) and equipment.keeps:
        _keep(equipment, record, node)
    try:
        with _timed(record):
            equipment.sessions.renew()
            restored = equipment.isolation.restore(node.nodeid)
    except RestoreBlockedError as error:
        record.blocked = error.found
        raise
    finally:
        equipment.restored = node.nodeid
    if not recording.has_kept(node):
        record.wrote, record.others = dict(restored.rows), list(restored.others)
    record.leftovers, record.remade = list(restored.leftovers), restored.remade
    _warn(restored, node, node.nodeid)
    return restored


def _tell_escape(record: TestRecord, restored: Restored, node: pytest.Item) -> None:
    """Name a test that committed something though its session is rolled back."""
    record.escaped = restored.committed
    if record.escaped:
        node.warn(
            EscapedWarning(
                f"{node.nodeid} committed {record.escaped}, past its session that is rolled back; it was put back. "
                "Another connection did it, or a COMMIT that the session does not know of. "
                "A test that is meant to do so asks for clean_database, too"
            )
        )


def _prove(equipment: Equipment, record: TestRecord, node: pytest.Item) -> None:
    """Prove that the database is pristine. What others write meanwhile is theirs, and the next restore undoes it."""
    import psycopg  # heavy, and loaded by now

    proof = equipment.isolation.proof
    spent = proof.spent
    try:
        late = equipment.isolation.prove()
    except UnprovenError as error:
        record.differences += error.found.splitlines()
        raise
    except psycopg.Error as error:
        recording.of_process(node.config).problems.append(f"a proof after {node.nodeid}: {str(error).strip()}")
        return
    finally:
        record.proof += proof.spent - spent
    record.proven = 0 if late else 1
    record.differences += [f"something that went on after {node.nodeid}: {what}" for what in late]


def _keep(equipment: Equipment, record: TestRecord, node: pytest.Item) -> None:
    """Keep the database of a failed test as it is, if there is room for it."""
    import psycopg  # heavy, and loaded by now

    limit, name = equipment.settings.keep_failed.value, ""

    def keep() -> bool:
        nonlocal name
        name = equipment.workspace.keep(node.nodeid, limit)
        return bool(name)

    try:
        changes = equipment.isolation.describe()
        record.wrote = {each.table: each.added + each.changed + each.removed for each in changes.tables}
        record.others = list(changes.others)
        equipment.isolation.put_aside(keep)
    except PristineError as error:
        recording.of_process(node.config).problems.append(f"the database of {node.nodeid} is not kept: {error.found}")
    except psycopg.Error as error:
        said = str(error).strip()
        recording.of_process(node.config).problems.append(f"the database of {node.nodeid} is not kept: {said}")
    # The first failures tell most: when there is no more room, no more is asked.
    equipment.keeps = bool(name)
    # It may have one from when it was run before.
    record.kept = name or record.kept


@contextmanager
def _timed(record: TestRecord) -> Iterator[None]:
    began = clock.now()
    try:
        yield
    finally:
        record.restore += clock.now() - began


def _warn(restored: Restored, node: pytest.Item, who: str) -> None:
    """Warn of what the restore found. A project that turns such a warning into an error has the test fail."""
    try:
        if restored.leftovers:
            node.warn(LeftoverWarning(f"{who} left {', '.join(restored.leftovers)}"))
    finally:
        if restored.remade:
            node.warn(
                SchemaChangedWarning(f"{who} changed more than rows: {restored.remade}. The database was made anew")
            )
