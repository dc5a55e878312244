"""What this process records of its tests and of itself, kept where hooks and fixtures find it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pytest_pristine import clock
from pytest_pristine.errors import UnreachableError
from pytest_pristine.plugin import collection, state

if TYPE_CHECKING:
    from pytest_pristine.isolation.isolation import Isolation
    from pytest_pristine.isolation.layers import Layers
    from pytest_pristine.isolation.rollback import Rollback
    from pytest_pristine.postgres.session_state import SessionState
    from pytest_pristine.settings import Settings
    from pytest_pristine.templates.pool import Pool
    from pytest_pristine.templates.workspace import Workspace
    from pytest_pristine.verify.checkouts import Checkouts
    from pytest_pristine.verify.records import ProcessRecord, TestRecord
    from pytest_pristine.verify.schema_coverage.coverage import SchemaCoverage
    from pytest_pristine.verify.statements import Recorder

# The attribute of a report of pytest in which the record of its test travels, under pytest-xdist to another process.
ATTRIBUTE = "pristine"
# The key under which a worker of pytest-xdist sends its own record.
OUTPUT = "pristine"
# Tests that a sentence names.
_NAMED = 3

_TEST = pytest.StashKey["TestRecord"]()
_CURRENT = pytest.StashKey["TestRecord"]()
_FAILED = pytest.StashKey[bool]()
# The database that was kept when the test was run before.
_KEPT = pytest.StashKey[str]()
_PROCESS = pytest.StashKey["ProcessRecord"]()
_EQUIPMENT = pytest.StashKey["Equipment"]()


@dataclass(slots=True)
class Equipment:
    """What a process has that runs tests on a database.

    Attributes:
        settings: The settings of the run.
        isolation: Restores the database.
        workspace: The database.
        recorder: Hears statements.
        layers: The layers of data in the database.
        checkouts: The connections that tests have of our engines.
        sessions: What they leave in the sessions of these.
        coverage: What of the schema is touched; None where that is not measured.
        since: The tests that may have written since the last restore, because they asked for no other: node ids.
        restored: The test that was restored last; empty before there was one.
        begun: When each test began, in seconds since the epoch, with its node id.
        undoing: A fixture of the test that runs sees to it that the test is undone.
        commits: It may commit.
        rollbacks: Its sessions that are rolled back.
        pool: Has databases for single tests, once one asks or many will.
        keeps: Databases of failed tests are kept, as far as there is room for them.
        is_finished: The last proof was made.
    """

    settings: Settings
    isolation: Isolation
    workspace: Workspace
    recorder: Recorder
    layers: Layers
    checkouts: Checkouts
    sessions: SessionState
    coverage: SchemaCoverage | None = None
    since: list[str] = field(default_factory=list)
    restored: str = ""
    begun: list[tuple[float, str]] = field(default_factory=list)
    undoing: bool = False
    commits: bool = False
    rollbacks: list[Rollback] = field(default_factory=list)
    pool: Pool | None = None
    keeps: bool = True
    is_finished: bool = False

    def note(self, test: TestRecord) -> None:
        """Note that a test begins."""
        self.begun.append((test.began, test.test))
        self.note_writer(test)

    def note_writer(self, test: TestRecord) -> None:
        """Note a test that may write, unless it is undone."""
        if test.ours and not test.cleaned and not test.alone:
            self.since.append(test.test)

    def who(self, beginning: str = "") -> str:
        """Who can have written since the last restore, in words.

        Args:
            beginning: The test that begins now; empty when none does.
        """
        # Fixtures that it asks for before clean_database, and that live longer as a rule, have run by now.
        own = [f"a fixture of {beginning}"] if beginning and self.recorder.count else []
        if beginning in self.since:
            own = [f"{beginning}, before it asked for clean_database,"]
        since = [test for test in self.since if test != beginning]
        if since:
            more = f" and {len(since) - _NAMED} more" if len(since) > _NAMED else ""
            return " or ".join([*own, f"{', '.join(since[:_NAMED])}{more}, without clean_database,"])
        if own:
            return own[0]
        return f"something that went on after {self.restored}" if self.restored else "something before the first test"


def begin(item: pytest.Item) -> TestRecord:
    """Begin the record of a test. One that is run again brings along what was found the last time."""
    from pytest_pristine.verify.records import TestRecord  # most runs have nothing to record

    before = item.stash.get(_TEST, None)
    record = TestRecord(
        item.nodeid,
        state.worker_name(item.config),
        clock.utc().timestamp(),
        ours=collection.needs_server(item),
        cleaned=collection.cleans(item),
        alone=collection.keeps_to_itself(item),
    )
    if before is not None:
        record.take_up(before)
    item.stash[_TEST], item.stash[_FAILED], item.stash[_KEPT] = record, False, record.kept
    item.config.stash[_CURRENT] = record
    return record


def has_test(item: pytest.Item) -> bool:
    """Whether there is anything to record of a test that runs now."""
    return _TEST in item.stash


def of_test(item: pytest.Item) -> TestRecord:
    """The record of a test that runs now."""
    return item.stash[_TEST] if _TEST in item.stash else begin(item)


def current(config: pytest.Config) -> TestRecord | None:
    """The record of the test that began last in this process."""
    return config.stash.get(_CURRENT, None)


def fail(item: pytest.Item) -> None:
    """Note that a test that runs now has failed."""
    item.stash[_FAILED] = True


def has_failed(item: pytest.Item) -> bool:
    """Whether it has."""
    return item.stash.get(_FAILED, False)


def has_kept(item: pytest.Item) -> bool:
    """Whether a database was kept since the test was begun, this time."""
    return of_test(item).kept not in ("", item.stash.get(_KEPT, ""))


def of_process(config: pytest.Config) -> ProcessRecord:
    """The record of this process."""
    from pytest_pristine.verify.records import ProcessRecord  # most runs have nothing to record

    if _PROCESS not in config.stash:
        config.stash[_PROCESS] = ProcessRecord(state.worker_name(config))
    return config.stash[_PROCESS]


def has_process(config: pytest.Config) -> bool:
    """Whether there is anything to record of this process."""
    return _PROCESS in config.stash


def equip(config: pytest.Config, equipment: Equipment) -> None:
    """Have tests recorded that work on a database."""
    config.stash[_EQUIPMENT] = equipment
    of_process(config).used = True


def equipment(config: pytest.Config) -> Equipment | None:
    """What this process has, once a test has asked for a database."""
    return config.stash.get(_EQUIPMENT, None)


def migrated(config: pytest.Config, database: Workspace) -> None:
    """Note what is known of the migrations of this process's database. A project may have one of its own making."""
    found = getattr(database, "migrated", None)
    from pytest_pristine.verify import migrations  # heavy, and loaded by now

    known = {} if found is None else found.as_dict()
    try:
        of_process(config).migrated = migrations.now(database.url, known)
    except UnreachableError:
        # The server died. What makes the database anew makes it as it was, or tells why it cannot.
        of_process(config).migrated = known
