"""What a run holds: its server, found once, given back at the end."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from pytest_pristine.plugin import options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_pristine.settings import Settings
    from pytest_pristine.templates.broker import Broker, Broking
    from pytest_pristine.templates.provider import PostgresServer
    from pytest_pristine.templates.spent import Spent

# The key under which a worker finds how to reach the broker.
CONTACT = "pristine_contact"

# What a worker of pytest-xdist was told before pytest-xdist tells it anything; see `exporting`.
TOLD = pytest.StashKey[dict[str, Any]]()

_SERVER = pytest.StashKey["PostgresServer"]()
_BROKER = pytest.StashKey["Broker"]()
_BROKING = pytest.StashKey["Broking"]()
_HINTED = pytest.StashKey[bool]()
_DESCRIBED = pytest.StashKey[bool]()
_TOLD = pytest.StashKey[list[tuple[Exception, str]]]()
_MAIN = "main"
# Hexadecimal digits of a session's id.
_DIGITS = 8


def server(config: pytest.Config) -> PostgresServer:
    """The server of this run, found or started now if it was not before.

    Raises:
        PristineError: There is none, or it cannot be used.
    """
    if _SERVER not in config.stash:
        from pytest_pristine.templates.provider import PostgresServer  # heavy, and most runs of pytest need none

        settings, asking = options.read(config), _broking(config)
        if asking is not None:
            config.stash[_SERVER] = PostgresServer.handed(
                asking, settings, config.rootpath, _session_id(config), worker_name(config), workers=_workers(config)
            )
        else:
            find = functools.partial(
                PostgresServer.find, settings, config.rootpath, _session_id(config), worker_name(config),
                workers=_workers(config), tell=functools.partial(show, config),
            )  # fmt: skip
            config.stash[_SERVER] = _with_drivers(settings, find)
    return config.stash[_SERVER]


def _with_drivers(settings: Settings, find: Callable[[], PostgresServer]) -> PostgresServer:
    """Find a server, where the drivers are installed that the tests and the application are to have.

    Raises:
        DriverError: One is not.
        PristineError: There is no server.
    """
    from pytest_pristine.postgres import named_drivers  # heavy, and most runs of pytest need none

    named_drivers.check(settings)
    server = find()
    if server.source == "url":
        try:
            named_drivers.of_url(server.url, settings.url.origin).check()
        except BaseException:
            server.server.release()
            raise
    return server


def check_migrations(config: pytest.Config) -> None:
    """Check what the settings name as migrations, before anything is started for them.

    Raises:
        PristineError: Something of it is not there.
    """
    from pytest_pristine.migrations import beforehand  # heavy, and most runs of pytest need none

    beforehand.check(config.rootpath, options.read(config))


def direct(config: pytest.Config, workers: Sequence[str], number: int) -> None:
    """In the process that directs a run: be ready for workers that want a server.

    Args:
        config: pytest's configuration.
        workers: The names of those on this machine.
        number: How many there are in all.
    """
    from pytest_pristine.templates.broker import Broker  # most runs have no workers

    def find(tell: Callable[[str], None]) -> PostgresServer:
        if _SERVER in config.stash:
            # It was found before: the application had to be told of it.
            return config.stash[_SERVER].among(number, tell)
        from pytest_pristine.templates.provider import PostgresServer  # heavy, and most runs of pytest need none

        settings = options.read(config)
        search = functools.partial(
            PostgresServer.find, settings, config.rootpath, _session_id(config), _MAIN, workers=number, tell=tell
        )
        return _with_drivers(settings, search)

    if workers:
        config.stash[_BROKER] = Broker(find, workers)


def broker(config: pytest.Config) -> Broker | None:
    """What workers ask, in the process that directs them."""
    return config.stash.get(_BROKER, None)


def is_to_hint(config: pytest.Config) -> bool:
    """Whether this is a worker that has not met a test yet which wants a server."""
    return _HINTED not in config.stash and _broking(config) is not None


def hint(config: pytest.Config, *, databases: bool) -> None:
    """In a worker: say that a test wants a server, and whether it wants a database. It may be left out later."""
    asking = _broking(config)
    if asking is not None:
        asking.hint(databases=databases)
        config.stash[_HINTED] = True


def announce(config: pytest.Config, *, databases: bool) -> None:
    """In a worker: say that tests which will be run want a server, and whether they want databases."""
    asking = _broking(config)
    if asking is not None:
        asking.announce(databases=databases)


def _broking(config: pytest.Config) -> Broking | None:
    """How a worker asks the process that directs it; None where it cannot."""
    contact = _worker(config).get(CONTACT)
    if contact is None:
        return None
    if _BROKING not in config.stash:
        from pytest_pristine.templates.broker import Broking, Contact  # most runs have no workers

        config.stash[_BROKING] = Broking(Contact(*contact))
    return config.stash[_BROKING]


def found(config: pytest.Config) -> PostgresServer | None:
    """The server of this run, if it has one by now."""
    directing = broker(config)
    return (None if directing is None else directing.found()) or config.stash.get(_SERVER, None)


def spent(config: pytest.Config) -> Spent | None:
    """The time that it took the process which directs a run to make databases for others."""
    directing = broker(config)
    server = None if directing is None else directing.found()
    return None if server is None else server.spent


def describe(config: pytest.Config) -> list[str]:
    """The server of this run for the header; nothing in a run that has none."""
    server = found(config)
    if server is None or is_described(config):
        return []
    config.stash[_DESCRIBED] = True
    from pytest_pristine.isolation import ways  # heavy, and loaded by now

    # Without pytest's terminal there is no such option.
    if config.get_verbosity() < 0 or getattr(config.option, "no_header", True):
        return []
    preferred = [rejection for rejection in server.server.passed_over if rejection.notable]
    parts = [
        str(server),
        *(f"passed over {rejection.source}: {rejection.reason}" for rejection in preferred),
        ways.describe(server.capabilities),
        *([share] if (share := server.share) else []),
        *([f"exported as {', '.join(map(str, exports))}"] if (exports := server.settings.export.value) else []),
    ]
    return [f"pristine: {'; '.join(parts)}"]


def say(config: pytest.Config) -> None:
    """In the process that directs a run: show what the broker has to say by now."""
    directing = broker(config)
    while directing is not None and directing.said:
        show(config, directing.said.pop(0))


def is_described(config: pytest.Config) -> bool:
    """Whether the server was shown."""
    return _DESCRIBED in config.stash


def show(config: pytest.Config, line: str) -> None:
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
    """Give the server back, and in the process that directs a run end it first."""
    directing = broker(config)
    try:
        if directing is not None:
            directing.close()
    finally:
        server = found(config)
        if directing is not None:
            del config.stash[_BROKER]
        if _SERVER in config.stash:
            del config.stash[_SERVER]
        if server is not None:
            server.server.release()


def is_xdist_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return bool(_worker(config))


def _worker(config: pytest.Config) -> dict[str, Any]:
    """What pytest-xdist tells a worker; empty in any other process."""
    told: dict[str, Any] | None = getattr(config, "workerinput", None)
    return config.stash.get(TOLD, {}) if told is None else told


def worker_name(config: pytest.Config) -> str:
    """Name of this worker: `main`, or pytest-xdist's `gw0`."""
    return str(_worker(config).get("workerid", _MAIN))


def _workers(config: pytest.Config) -> int:
    return int(_worker(config).get("workercount", 1))


def _session_id(config: pytest.Config) -> str:
    """One id for all workers of a session."""
    shared = _worker(config).get("testrunuid")
    if shared is None:
        return secrets.token_hex(_DIGITS // 2)
    return hashlib.sha256(shared.encode()).hexdigest()[:_DIGITS]
