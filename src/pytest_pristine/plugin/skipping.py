"""The skips of a run, with their reasons: of tests, and of whole modules that were skipped when they were collected."""

from __future__ import annotations

from typing import Any

import pytest

# The key under which a worker of pytest-xdist tells the modules that it skipped, which reach nobody otherwise.
_OUTPUT = "pristine_skipped"

_SKIPPING = pytest.StashKey["Skipping"]()


class Skipping:
    """Hears what is skipped. The hooks that reports come to are told no configuration, so this is an object."""

    def __init__(self, config: pytest.Config) -> None:
        # In the order in which it came; each worker skips the same modules.
        self.found: dict[tuple[str, str], None] = {}
        self._config = config

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note a test that was skipped. One that is expected to fail is skipped by name alone."""
        if report.skipped and not hasattr(report, "wasxfail"):
            self.found[report.nodeid, _reason(report)] = None

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a module that was skipped."""
        if report.skipped:
            self.found[report.nodeid, _reason(report)] = None

    def pytest_sessionfinish(self) -> None:
        """In a worker: tell the controller, whom pytest-xdist tells of skipped tests alone."""
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_OUTPUT] = [list(each) for each in self.found]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:  # noqa: ANN401 - a class of pytest-xdist
        """In the controller: note what a worker has told, unless it died."""
        for test, reason in getattr(node, "workeroutput", {}).get(_OUTPUT, ()):
            self.found[test, reason] = None


def begin(config: pytest.Config) -> None:
    """Hear what is skipped in a run."""
    config.stash[_SKIPPING] = Skipping(config)
    config.pluginmanager.register(config.stash[_SKIPPING], "pristine_skipping")


def skipped(config: pytest.Config) -> list[tuple[str, str]]:
    """Node id and reason of everything that was skipped, in the controller or the only process."""
    return list(config.stash[_SKIPPING].found)


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """What is shown as the reason of a skip."""
    where = report.longrepr
    return str(where[2] if isinstance(where, tuple) else where or "").removeprefix("Skipped: ")
