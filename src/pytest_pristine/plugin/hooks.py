"""The hooks: options, the server that a run needs before its first test, and errors without tracebacks."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from pytest_pristine.errors import PristineError
from pytest_pristine.plugin import options, redaction, state
from pytest_pristine.plugin.fixtures import postgres_server


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options and ini keys."""
    options.register(parser)


# Options of runs that collect tests and do not run them. The plugins that have them may be switched off.
_RUN_NO_TEST = ("collectonly", "setupplan", "showfixtures", "show_fixtures_per_test")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Find the server before the first test when a test will need it: a run without one is a usage error, exit code 4.

    A worker of pytest-xdist leaves it to its fixtures: it has no exit code of its own.
    """
    config = session.config
    if state.is_xdist_worker(config) or any(getattr(config.option, name, False) for name in _RUN_NO_TEST):
        return
    if any(_needs_server(item) for item in session.items):
        try:
            state.server(config)
        except PristineError as error:
            raise pytest.UsageError(f"pytest-pristine\n{error}") from error


def _needs_server(item: pytest.Item) -> bool:
    """Whether the test asks, directly or through others, for `postgres_server`, and it is ours."""
    if "postgres_server" not in getattr(item, "fixturenames", ()):
        return False
    definitions = item.session._fixturemanager.getfixturedefs("postgres_server", item)  # noqa: SLF001 - no public way
    return definitions is not None and definitions[-1].func.__module__ == postgres_server.__module__


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
    if call.excinfo is not None and isinstance(call.excinfo.value, PristineError):
        error = call.excinfo.value
        first = state.tell(item.config, error, item.nodeid)
        # The first line is all that a summary shows.
        reason = (error.found or error.sought).splitlines()[0]
        told = str(error) if first == item.nodeid else f"the same error as in {first}"
        report.longrepr = f"pytest-pristine: {reason}\n{told}"
    elif (report.longrepr or report.sections) and (server := state.found(item.config)) is not None:
        redaction.redact(report, server.url)
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the server back."""
    state.close(config)
