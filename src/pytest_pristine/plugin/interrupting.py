"""Ctrl-C once more, while a run that was interrupted cleans up: it ends then, in a sentence and not in a traceback."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest

from pytest_pristine.plugin import state

_GIVEN_UP = pytest.StashKey[bool]()
_SAID = "pristine: interrupted while it cleaned up: the next run, or pristine prune, drops what is left"


# Innermost: what others do at the end, such as the summary, is done still.
@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Give up what is cleaned up at the end of a run."""
    try:
        return (yield)
    except KeyboardInterrupt:
        if state.found(session.config) is None:
            raise
        session.exitstatus = pytest.ExitCode.INTERRUPTED
        give_up(session.config)
        return None


def give_up(config: pytest.Config) -> None:
    """Say that nothing more is cleaned up."""
    if _GIVEN_UP not in config.stash:
        config.stash[_GIVEN_UP] = True
        state.show(config, _SAID)


def unless_again(config: pytest.Config, close: Callable[[], None]) -> None:
    """Close something, unless the user wants no more of that."""
    try:
        close()
    except KeyboardInterrupt:
        if _GIVEN_UP not in config.stash:
            raise
