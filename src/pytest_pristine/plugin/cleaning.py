"""Restoring around a test, and saying what it should not have left."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_pristine.errors import RestoreBlockedError
from pytest_pristine.warnings import LeftoverWarning, SchemaChangedWarning

if TYPE_CHECKING:
    from pytest_pristine.isolation.isolation import Isolation
    from pytest_pristine.isolation.restored import Restored


def before(isolation: Isolation, node: pytest.Item) -> Restored:
    """Make the database pristine for a test; gives what was put back.

    What stands in the way is not the test's, which runs all the same.
    """
    from pytest_pristine.isolation.restored import Restored  # heavy, and loaded by now

    try:
        restored = isolation.prepare()
    except RestoreBlockedError as error:
        node.warn(LeftoverWarning(f"before {node.nodeid}, {error.found}; it was ended, and the database made anew"))
        return Restored(remade=error.found)
    _warn(restored, node, f"before {node.nodeid} something")
    return restored


def after(isolation: Isolation, node: pytest.Item) -> Restored:
    """Make the database pristine after a test; gives what was put back.

    Raises:
        RestoreBlockedError: The test left a session that holds a lock.
    """
    restored = isolation.restore()
    _warn(restored, node, node.nodeid)
    return restored


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
