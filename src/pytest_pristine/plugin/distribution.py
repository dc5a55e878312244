"""Several processes that run tests, under pytest-xdist: the controller finds the server and makes all databases.

Hooks of pytest-xdist, which need not be installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_pristine.errors import PristineError
from pytest_pristine.plugin import collection, state

if TYPE_CHECKING:
    from collections.abc import Sequence

# Options that may leave nothing of what is collected.
_SELECTING = ("keyword", "markexpr", "deselect", "lf", "last_failed", "stepwise")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: Sequence[Any]) -> None:
    """In the controller: listen to the workers there will be, as far as they are on this machine."""
    state.direct(config, [spec.id for spec in specs if is_here(spec)], len(specs))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:  # noqa: ANN401 - a class of pytest-xdist
    """In the controller: tell a worker whom to ask."""
    broker = state.broker(node.config)
    if broker is not None and is_here(node.gateway.spec):
        node.workerinput[state.CONTACT] = tuple(broker.contact)


def is_here(spec: Any) -> bool:  # noqa: ANN401 - a class of execnet
    """Whether a worker is on this machine and runs the same Python."""
    return bool(spec.popen) and not spec.python and not spec.via


@pytest.hookimpl(tryfirst=True)
def pytest_itemcollected(item: pytest.Item) -> None:
    """In a worker: say at the first test that wants a server that there is one, so that it is found meanwhile.

    It is a hint: the test may be left out.
    """
    config = item.config
    if not state.is_to_hint(config) or any(getattr(config.option, name, None) for name in _SELECTING):
        return
    if collection.runs_tests(config) and collection.needs_server(item):
        state.hint(config, databases=collection.needs_database(item))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:  # noqa: ANN401 - a class of pytest-xdist
    """In the controller, before the first test: a run without a server is a usage error, exit code 4."""
    config: pytest.Config = node.config
    broker = state.broker(config)
    if broker is None or state.is_described(config):
        return
    try:
        settled = broker.settle()
    except PristineError as error:
        raise pytest.UsageError(f"pytest-pristine\n{error}") from error
    if settled is not None:
        state.say(config)
        for line in state.describe(config):
            state.show(config, line)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - a class of pytest-xdist
    """In the controller: show what came up while tests ran."""
    state.say(node.config)
