"""The application's own settings: variables that name the worker's database, set before its modules are imported.

The server is found before the first conftest.py is imported, and the name of the database is fixed. The database is
made before the first test: an application may connect whenever it likes, so every test of such a run asks for it.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.config import ConftestImportFailure

from pytest_pristine import settings
from pytest_pristine.errors import PristineError
from pytest_pristine.migrations import surroundings
from pytest_pristine.plugin import collection, distribution, options, redaction, reserved, state

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from pytest_pristine.settings.exports import Export

_NAME = "pristine-exporting"
# Has what a worker of pytest-xdist must know before pytest-xdist tells it anything.
_WORKER = "PRISTINE_WORKER"
_TELLING = """
import os

name, text = channel.receive()
os.environ[name] = text
"""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None, object, object]:
    """Set the variables: what pytest imports next may be the application."""
    _tell(early_config)
    try:
        return (yield)
    except ConftestImportFailure as failure:
        server = state.found(early_config)
        if server is not None and options.BEFORE in early_config.stash:
            told = redaction.of_import(failure, server.url)
            if told is not None:
                raise pytest.UsageError(told) from None
        raise


def _tell(early_config: pytest.Config) -> None:
    _listen(early_config)
    try:
        exports = options.read_one(early_config, settings.EXPORT)
        if exports:
            _begin(early_config, exports)
    except PristineError as error:
        raise pytest.UsageError(f"pytest-pristine\n{error}") from error


def _listen(config: pytest.Config) -> None:
    """In a worker of pytest-xdist: hear who we are, and have the variables as the user gave them."""
    text = os.environ.pop(_WORKER, None)
    if text is None:
        return
    told = json.loads(text)
    surroundings.put(told["before"])
    config.stash[state.TOLD] = {
        "workerid": os.environ["PYTEST_XDIST_WORKER"],
        "workercount": os.environ["PYTEST_XDIST_WORKER_COUNT"],
        "testrunuid": os.environ["PYTEST_XDIST_TESTRUNUID"],
        state.CONTACT: told["contact"] and (told["contact"][0], bytes.fromhex(told["contact"][1])),
    }


def _begin(config: pytest.Config, exports: tuple[Export, ...]) -> None:
    from pytest_pristine.postgres import exported  # heavy, and most runs export nothing

    runs = collection.runs_tests(config)
    if runs:
        # pytest may end before it has begun: when a conftest.py cannot be imported, say.
        config.add_cleanup(functools.partial(state.close, config))
        config.pluginmanager.register(Exporting(config), _NAME)
        config.pluginmanager.register(reserved, f"{_NAME}-fixture")
    variables = exported.variables(exports, _address(config) if runs else exported.NOWHERE)
    before = {name: os.environ.get(name) for name in variables}
    config.stash[options.BEFORE] = before
    config.add_cleanup(functools.partial(surroundings.put, before))
    surroundings.put(variables)


def _address(config: pytest.Config) -> URL:
    """Where this worker's database will be."""
    from pytest_pristine.postgres import exported  # heavy, and loaded by now

    try:
        return state.server(config).reserve()
    except PristineError:
        if state.is_xdist_worker(config):
            return exported.NOWHERE  # it cannot end the run: whoever directs it does, or each of its tests tells it
        raise


class Exporting:
    """The hooks of a run whose application is told of the database."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Show what went wrong in an import without the server's password, which settings may quote."""
        report = yield
        server = state.found(self._config)
        if report.longrepr and server is not None:
            redaction.redact_collected(report, server.url)
        return report

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_newgateway(self, gateway: Any) -> None:  # noqa: ANN401 - a class of execnet
        """In the controller: tell a worker, before it imports anything, whom to ask."""
        broker = state.broker(self._config)
        contact = None
        if broker is not None and distribution.is_here(gateway.spec):
            contact = broker.contact.port, broker.contact.key.hex()
        told = {"contact": contact, "before": self._config.stash[options.BEFORE]}
        channel = gateway.remote_exec(_TELLING)
        channel.send((_WORKER, json.dumps(told)))
        channel.waitclose()
