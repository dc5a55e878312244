"""Collecting what was recorded, in the process that directs the run or the only one, and judging it at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_pristine.plugin import judging, options, proving, recording
from pytest_pristine.report.collected import Collected, Outcome
from pytest_pristine.verify.checklist import FAILED, PASSED, UNKNOWN
from pytest_pristine.verify.records import ProcessRecord, TestRecord

if TYPE_CHECKING:
    from pytest_pristine.verify.checklist import Item

_COLOURS = {UNKNOWN: {"yellow": True}, FAILED: {"red": True}}


class Collector:
    """The plugin that collects. It is registered in every process that has an exit code of its own."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._collected = Collected(time.time())
        self._items: list[Item] = []
        self._notes: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a part of a test ended, and what was recorded of it."""
        test = self._collected.outcomes.setdefault(report.nodeid, Outcome(report.nodeid))
        if report.when == "setup":
            # It may be run again.
            test.outcome, test.message, test.began = "passed", "", getattr(report, "start", 0.0)
        setattr(test, report.when or "call", report.duration)
        _judge(test, report)
        data: dict[str, Any] | None = getattr(report, recording.ATTRIBUTE, None)
        if data is not None:
            record = TestRecord.read(data)
            self._collected.records[report.nodeid] = record
            test.worker = record.worker

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 - a class of pytest-xdist
        """Take what a worker says in the end; one that died says nothing."""
        data = getattr(node, "workeroutput", {}).get(recording.OUTPUT)
        if data is not None:
            self._collected.processes.append(ProcessRecord.read(data))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge the run, and write the reports: before pytest writes its own."""
        proving.finish(self._config, ended=False)
        if recording.has_process(self._config):
            self._collected.processes.append(proving.process(self._config))
        if not self._collected.is_ours:
            return
        settings = options.read(self._config)
        self._items = judging.judge(self._config, self._collected)
        self._notes = [*dict.fromkeys(problem for each in self._collected.processes for problem in each.problems)]
        self._notes += judging.publish(self._config, settings, self._collected, self._items)
        unproven = [item for item in self._items if item.state != PASSED]
        if settings.strict.value and unproven and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self._notes.append(f"pristine_strict: {len(unproven)} of {len(self._items)} items are not proven")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the checklist."""
        if not self._items:
            return
        from pytest_pristine.report import terminal  # most runs have nothing to show

        kept = judging.kept(self._config, self._collected)
        lines = list(terminal.lines(self._items, kept, self._notes, self._config.get_verbosity()))
        if not lines:
            return
        terminalreporter.write_sep("=", "pristine")
        for line in lines:
            terminalreporter.write_line(line.text, **_COLOURS.get(line.state, {}))


def _judge(test: Outcome, report: pytest.TestReport) -> None:
    """Note how a part of a test ended."""
    expected = hasattr(report, "wasxfail")
    if report.failed:
        test.outcome = "failed" if report.when == "call" else "error"
        test.message = _first_line(report)
    elif report.skipped:
        test.outcome = "xfailed" if expected else "skipped"
        test.message = str(report.wasxfail) if expected else _reason(report)
    elif report.when == "call" and expected:
        test.outcome = "xpassed"


def _first_line(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else str(crash.message)
    return (text.strip().splitlines() or [""])[0]


def _reason(report: pytest.TestReport) -> str:
    return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
