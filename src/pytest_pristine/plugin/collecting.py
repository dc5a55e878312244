"""Collecting what was recorded, in the process that directs the run or the only one, and judging it at the end.

Every run has a collector. What it collects is made sense of where there is something of ours in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_pristine import clock
from pytest_pristine.errors import SettingError
from pytest_pristine.plugin import options, proving, recording, state

if TYPE_CHECKING:
    from pytest_pristine.report.collected import Collected
    from pytest_pristine.verify.checklist import Item

_COLOURS = {"unknown": {"yellow": True}, "failed": {"red": True}}


class Collector:
    """The plugin that collects. It is registered in every process that has an exit code of its own."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._began = clock.utc().timestamp()
        self._reports: list[dict[str, Any]] = []
        self._processes: list[dict[str, Any]] = []
        # Workers of pytest-xdist that died, and processes that came to their end.
        self._died: list[str] = []
        self._ended: list[str] = [state.worker_name(config)]
        self._collected: Collected | None = None
        self._items: list[Item] = []
        self._notes: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a part of a test ended, and what was recorded of it."""
        self._reports.append({
            "test": report.nodeid,
            "when": report.when,
            "outcome": report.outcome,
            "seconds": report.duration,
            "began": getattr(report, "start", 0.0),
            "message": _message(report),
            "expected": hasattr(report, "wasxfail"),
            "record": getattr(report, recording.ATTRIBUTE, None),
        })  # fmt: skip

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 - a class of pytest-xdist
        """Take what a worker says in the end; one that died says nothing."""
        output = getattr(node, "workeroutput", None)
        (self._died if output is None else self._ended).append(str(node.gateway.id))
        if output is not None and recording.OUTPUT in output:
            self._processes.append(output[recording.OUTPUT])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Judge the run, and write the reports: before pytest writes its own."""
        try:
            self._conclude(session)
        except Exception as error:  # noqa: BLE001 - a run does not break of what is told of it
            said = str(proving.cleaned(self._config, f"{type(error).__name__}: {error}"))
            self._notes.append(f"the checklist is not whole: {said}")
            if self._is_strict() and session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _is_strict(self) -> bool:
        try:
            return options.read(self._config).strict.value
        except SettingError:
            return True  # whatever it was meant to say

    def _conclude(self, session: pytest.Session) -> None:
        proving.finish(self._config, ended=False)
        if recording.has_process(self._config):
            self._processes.append(proving.process(self._config).as_dict())
        if not (self._processes or any(report["record"] for report in self._reports)):
            return
        from pytest_pristine.plugin import judging  # most runs have nothing to judge
        from pytest_pristine.report import collected  # the same

        self._collected = collected.of(self._began, self._reports, self._processes)
        ran = [record.worker for record in self._collected.records.values()]
        self._collected.silent = [each for each in dict.fromkeys([*self._died, *ran]) if each not in self._ended]
        if self._collected.is_ours:
            self._items = judging.judge(self._config, self._collected)
            self._notes = judging.publish(self._config, self._collected, self._items)
            self._be_strict(session)

    def _be_strict(self, session: pytest.Session) -> None:
        """Fail a run whose tests passed for what is not proven; for schema that is not touched, strict or not."""
        if session.exitstatus != pytest.ExitCode.OK:
            return
        unproven = [item for item in self._items if item.state != "passed"]
        if self._is_strict() and unproven:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            self._notes.append(f"pristine_strict: {len(unproven)} of {len(self._items)} items are not proven")
        elif any(item.key == "schema" for item in unproven):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the checklist."""
        if not self._items and not self._notes:
            return
        from pytest_pristine.plugin import judging  # most runs have nothing to show
        from pytest_pristine.report import terminal  # the same

        kept = [] if self._collected is None else judging.kept(self._config, self._collected)
        verbosity = self._config.get_verbosity()
        lines = list(terminal.lines(self._items, kept, self._notes, verbosity, strict=self._is_strict()))
        if not lines:
            return
        terminalreporter.write_sep("=", "pristine")
        for line in lines:
            terminalreporter.write_line(line.text, **_COLOURS.get(line.state, {}))


def _message(report: pytest.TestReport) -> str:
    """The first line of a failure, or the reason of a skip."""
    if report.skipped:
        if hasattr(report, "wasxfail"):
            return str(report.wasxfail)
        return str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not report.failed:
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else str(crash.message)
    return (text.strip().splitlines() or [""])[0]
