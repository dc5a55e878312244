"""What a run holds: its server, found once, given back at the end."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.plugin import options

if TYPE_CHECKING:
    from pytest_pristine.templates.provider import PostgresServer

_SERVER = pytest.StashKey["PostgresServer"]()
_TOLD = pytest.StashKey[list[tuple[Exception, str]]]()
# Hexadecimal digits of a session's id.
_DIGITS = 8


def server(config: pytest.Config) -> PostgresServer:
    """The server of this run, found or started now if it was not before.

    Raises:
        PristineError: There is none, or it cannot be used.
    """
    if _SERVER not in config.stash:
        from pytest_pristine.migrations import extensions  # heavy, and most runs of pytest need none
        from pytest_pristine.servers import needs, resolver  # the same
        from pytest_pristine.templates.provider import PostgresServer  # the same

        settings = options.read(config)
        wanted = needs.read(settings, extensions.of_project(config.rootpath, settings))
        config.stash[_SERVER] = PostgresServer(
            resolver.resolve(settings, wanted), wanted, settings, config.rootpath, _session_id(), _worker_name(),
            tell=functools.partial(_show, config),
        )  # fmt: skip
    return config.stash[_SERVER]


def found(config: pytest.Config) -> PostgresServer | None:
    """The server of this run, if it has one by now."""
    return config.stash.get(_SERVER, None)


def describe(config: pytest.Config) -> list[str]:
    """The server of this run for the header; nothing in a run that has none."""
    server = found(config)
    if server is None:
        return []
    from pytest_pristine.isolation import ways  # heavy, and loaded by now

    preferred = [rejection for rejection in server.server.passed_over if rejection.notable]
    return [
        *(f"pristine: passed over {rejection.source}: {rejection.reason}" for rejection in preferred),
        f"pristine: {server}",
        f"pristine: {ways.describe(server.capabilities)}",
    ]


def _show(config: pytest.Config, line: str) -> None:
    """Write a line between the results of tests. A worker of pytest-xdist has no terminal."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    capture = config.pluginmanager.get_plugin("capturemanager")
    if reporter is not None:
        with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
            reporter.ensure_newline()
            reporter.write_line(line)


def tell(config: pytest.Config, error: Exception, test: str) -> str:
    """Note that a test met an error; gives the test that met it first."""
    told = config.stash.setdefault(_TOLD, [])
    for known, first in told:
        if known is error:
            return first
    told.append((error, test))
    return test


def close(config: pytest.Config) -> None:
    """Give the server back."""
    server = found(config)
    if server is not None:
        del config.stash[_SERVER]
        server.server.release()


def is_xdist_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


def _worker_name() -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


def _session_id() -> str:
    """One id for all workers of a session."""
    shared = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if shared is None:
        return secrets.token_hex(_DIGITS // 2)
    return hashlib.sha256(shared.encode()).hexdigest()[:_DIGITS]
