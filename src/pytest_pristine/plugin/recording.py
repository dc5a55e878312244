"""What this process records of its tests and of itself, kept where hooks and fixtures find it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.plugin import collection, state
from pytest_pristine.verify.records import ProcessRecord, TestRecord

if TYPE_CHECKING:
    from pytest_pristine.templates.workspace import Workspace

# The attribute of a report of pytest in which the record of its test travels, under pytest-xdist to another process.
ATTRIBUTE = "pristine"

_TEST = pytest.StashKey[TestRecord]()
_PROCESS = pytest.StashKey[ProcessRecord]()


def begin(item: pytest.Item) -> TestRecord:
    """Begin the record of a test, which may run more than once."""
    item.stash[_TEST] = TestRecord(
        item.nodeid, state.worker_name(item.config), time.time(), ours=collection.needs_server(item)
    )
    return item.stash[_TEST]


def of_test(item: pytest.Item) -> TestRecord:
    """The record of a test that runs now."""
    return item.stash[_TEST] if _TEST in item.stash else begin(item)


def of_process(config: pytest.Config) -> ProcessRecord:
    """The record of this process."""
    if _PROCESS not in config.stash:
        config.stash[_PROCESS] = ProcessRecord(state.worker_name(config))
    return config.stash[_PROCESS]


def migrated(config: pytest.Config, database: Workspace) -> None:
    """Note what is known of the migrations of this process's database. A project may have one of its own making."""
    found = getattr(database, "migrated", None)
    process = of_process(config)
    process.used, process.migrated = True, {} if found is None else found.as_dict()
