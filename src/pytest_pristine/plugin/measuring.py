"""Where the data of coverage are when a session ends: with pytest-cov, or with `coverage run -m pytest`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from pytest_pristine.verify import code_coverage
from pytest_pristine.verify.code_coverage import Circumstances

if TYPE_CHECKING:
    import pytest

    from pytest_pristine.verify.checklist import Item

# pytest-cov's own name for what measures.
_PLUGIN = "_cov"
_OFF = "it was switched off with --no-cov"
_LATER = "the data of the workers are combined after the run, by coverage combine"


def judge(config: pytest.Config) -> Item:
    """Judge what was measured; to be asked when the session finishes, in the controller or the only process."""
    plugin = config.pluginmanager.get_plugin(_PLUGIN)
    if plugin is not None:
        return _of_plugin(plugin)
    running = _running()
    if running is None:
        return code_coverage.judge(None, ())
    return code_coverage.judge(running, code_coverage.asked_of(running), _of_workers(config, running))


def _of_plugin(plugin: Any) -> Item:  # noqa: ANN401 - a class of pytest-cov
    if getattr(plugin.options, "no_cov", False) or plugin.cov_controller is None:
        return code_coverage.judge(None, (), Circumstances(off=_OFF))
    controller = plugin.cov_controller
    total = getattr(plugin, "cov_total", None)
    circumstances = Circumstances(
        lost=[str(node.gateway.id) for node in controller.failed_workers],
        # A report that was made gives a float.
        report_failed=isinstance(total, int) and total == 0,
    )
    return code_coverage.judge(controller.cov, code_coverage.asked_of(controller.cov), circumstances)


def _running() -> Any:  # noqa: ANN401 - coverage is not imported where nobody measures
    """What measures this process without pytest-cov."""
    # A project may have a module of that name.
    measuring = getattr(sys.modules.get("coverage"), "Coverage", None)
    return None if measuring is None else measuring.current()


def _of_workers(config: pytest.Config, running: Any) -> Circumstances:  # noqa: ANN401 - the same
    """Under pytest-xdist `coverage run` measures the process that runs no test."""
    if not getattr(config.option, "tx", None):
        return Circumstances()
    try:
        patched = "subprocess" in (running.get_option("run:patch") or ())
    except Exception:  # noqa: BLE001 - an option that this version of coverage has not
        patched = False
    if patched or "COVERAGE_PROCESS_START" in os.environ:
        return Circumstances(later=_LATER)
    return Circumstances(lost=[str(spec) for spec in config.option.tx])
