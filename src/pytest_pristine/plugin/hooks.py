"""The hooks: options, the server that a run needs before its first test, and errors without tracebacks."""

from __future__ import annotations

import functools
from collections.abc import Generator

import pytest

from pytest_pristine.errors import PristineError
from pytest_pristine.plugin import (
    collection,
    freshening,
    guarding,
    interrupting,
    layering,
    options,
    proving,
    redaction,
    skipping,
    state,
)
from pytest_pristine.plugin.collecting import Collector


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options and ini keys."""
    options.register(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Collect what is recorded, in the process that directs the run or the only one."""
    if not state.is_xdist_worker(config):
        config.pluginmanager.register(Collector(config), "pristine-collector")
    config.pluginmanager.register(redaction.Redactor(config), "pristine-redactor")
    config.pluginmanager.register(interrupting, "pristine-interrupting")
    skipping.begin(config)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the server before the first test when a test will need it: a run without one is a usage error, exit code 4.

    A worker of pytest-xdist has no exit code of its own: it says that there is such a test, and the controller finds
    the server.
    """
    config = session.config
    guarding.begin(session)
    freshening.expect(session)
    needing = [item for item in session.items if collection.needs_server(item)]
    layering.foresee(needing)
    if not needing or not collection.runs_tests(config):
        return
    if state.is_xdist_worker(config):
        state.announce(config, databases=any(collection.needs_database(item) for item in needing))
        return
    try:
        if any(collection.needs_database(item) for item in needing):
            state.check_migrations(config)
        freshening.prepare(config, state.server(config))
    except PristineError as error:
        raise pytest.UsageError(f"pytest-pristine\n{error}") from error


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Say which server it is, and which one the project would have preferred."""
    return state.describe(config)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show an error of ours as its message alone: what it tells lies outside the code that a traceback shows.

    Other tracebacks are shown without the server's password.
    pytest raises the error of a session's fixture again for each test that needs it. It is told once.
    """
    report = yield
    proving.observe(item, report)
    if call.excinfo is not None and isinstance(call.excinfo.value, PristineError):
        error = call.excinfo.value
        first = state.tell(item.config, error, item.nodeid)
        # The first line is all that a summary shows.
        reason = (error.found if len(error.found.split()) > 1 else f"{error.sought}: {error.found}").splitlines()[0]
        told = str(error) if first == item.nodeid else f"the same error as in {first}"
        report.longrepr = f"pytest-pristine: {reason}\n{told}"
    if (server := state.found(item.config)) is not None:
        redaction.redact(report, server.url)
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the server back."""
    interrupting.unless_again(config, functools.partial(state.close, config))
