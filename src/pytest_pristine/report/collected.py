"""What was collected of a run, from all of its processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_pristine.report.document import Kept, Schema, Server
from pytest_pristine.templates.spent import Spent
from pytest_pristine.verify.checklist import Item
from pytest_pristine.verify.records import ProcessRecord, TestRecord

_PARTS = ("setup", "call", "teardown")


@dataclass(slots=True)
class Outcome:
    """What pytest says of a test.

    Attributes:
        test: Its node id.
        outcome: `passed`, `failed`, `error`, `skipped`, `xfailed` or `xpassed`.
        setup: Seconds.
        call: Seconds.
        teardown: Seconds.
        began: When its setup began, in seconds since the epoch.
        worker: Name of the worker.
        message: The first line of its failure, or the reason why it was skipped.
    """

    test: str
    outcome: str = "passed"
    setup: float = 0.0
    call: float = 0.0
    teardown: float = 0.0
    began: float = 0.0
    worker: str = ""
    message: str = ""


@dataclass(slots=True)
class Collected:
    """A run.

    Attributes:
        began: When it began, in seconds since the epoch.
        outcomes: All tests, in the order in which they ended, by node id.
        records: What was recorded of those that are ours, by node id.
        processes: What those processes said that came to their end.
        silent: Names of workers that did not say how they ended: they died, or the run ended before them.
    """

    began: float
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    records: dict[str, TestRecord] = field(default_factory=dict)
    processes: list[ProcessRecord] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)

    @property
    def is_ours(self) -> bool:
        """Whether any test used a fixture of ours, or did what a guard of ours looks after."""
        return bool(self.records) or any(process.used or process.sqlite for process in self.processes)


def of(began: float, reports: Sequence[Mapping[str, Any]], processes: Sequence[dict[str, Any]]) -> Collected:
    """What was collected.

    Args:
        began: When the run began, in seconds since the epoch.
        reports: Of each part of each test, in their order: `test`, `when` (`setup`, `call`, `teardown`), `outcome` as
            pytest has it, `seconds`, `began`, `message`, `expected` (to fail), and `record` as `TestRecord` has it.
        processes: As `ProcessRecord` has them.
    """
    collected = Collected(began, processes=[ProcessRecord.read(each) for each in processes])
    for report in reports:
        test = collected.outcomes.setdefault(report["test"], Outcome(report["test"]))
        if report["when"] == "setup":
            # It may be run again.
            test.outcome, test.message, test.began = "passed", "", report["began"]
        # A test in which its worker died has a report that is of no part.
        if report["when"] in _PARTS:
            setattr(test, report["when"], report["seconds"])
        _note(test, report)
        if report["record"] is not None:
            record, before = TestRecord.read(report["record"]), collected.records.get(report["record"]["test"])
            if before is not None:
                record.take_up(before)
            collected.records[record.test] = record
            test.worker = record.worker
    return collected


def _note(test: Outcome, report: Mapping[str, Any]) -> None:
    """Note how a part of a test ended."""
    outcome, expected = report["outcome"], report["expected"]
    if outcome == "failed":
        is_error = report["when"] in ("setup", "teardown")
        test.outcome, test.message = "error" if is_error else "failed", report["message"]
    elif outcome == "skipped":
        test.outcome, test.message = "xfailed" if expected else "skipped", report["message"]
    elif report["when"] == "call" and expected:
        test.outcome = "xpassed"


@dataclass(frozen=True, slots=True)
class Judged:
    """What else is known of a run in the end.

    Attributes:
        project: Name of the project.
        items: The checklist.
        server: The server; None when the run came to none.
        spent: What it took the process that directs the run to make databases for all; None where each made its own.
        kept: Databases that were kept.
        schema: Schema coverage; None when it was not measured.
        tables: Tables of the schema, where its coverage was measured, whether tests wrote to them or not.
    """

    project: str
    items: Sequence[Item]
    server: Server | None = None
    spent: Spent | None = None
    kept: Sequence[Kept] = ()
    schema: Schema | None = None
    tables: Sequence[str] = ()
