"""Guarding tests against SQLite; `verify.sqlite_guard` does the watching."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_pristine import settings
from pytest_pristine.errors import SettingError, SqliteUsedError
from pytest_pristine.plugin import collection, options, recording

if TYPE_CHECKING:
    from pytest_pristine.verify.sqlite_guard.watch import Watch

_NAME = "pristine-sqlite-guard"
_SOUGHT = "directories whose tests may not open SQLite"


def begin(session: pytest.Session) -> None:
    """Guard the tests that were collected, as far as they are to be guarded. A run without such tests has no guard."""
    config = session.config
    if not collection.runs_tests(config) or config.pluginmanager.has_plugin(_NAME):
        return
    guarded = _guarded(session)
    if guarded:
        config.pluginmanager.register(Guard(config, guarded), _NAME)


def _guarded(session: pytest.Session) -> list[pytest.Item]:
    """The tests to be guarded."""
    config = session.config
    directories = [config.rootpath / each for each in options.read_one(config, settings.SQLITE_GUARD)]
    missing = [each for each in directories if not each.exists()]
    if missing:
        error = SettingError(_SOUGHT, f"there is no {missing[0]}", [f"mend {settings.SQLITE_GUARD.ini}"])
        raise pytest.UsageError(f"pytest-pristine\n{error}")
    wanted = [item for item in session.items if collection.asks_for_server(item) or _is_in(item.path, directories)]
    if not wanted:
        return []
    from pytest_pristine.verify.sqlite_guard import uses  # runs without guarded tests need it not

    allow = options.read_one(config, settings.SQLITE_ALLOW)
    return [item for item in wanted if not uses.allows(allow, [item.nodeid])]


def _is_in(path: Path, directories: list[Path]) -> bool:
    return any(path.is_relative_to(directory) for directory in directories)


class Guard:
    """The hooks around guarded tests.

    Args:
        config: pytest's configuration.
        guarded: The tests.
    """

    def __init__(self, config: pytest.Config, guarded: Sequence[pytest.Item]) -> None:
        # Runs without guarded tests need none of these.
        from pytest_pristine.verify.sqlite_guard import directories, engines
        from pytest_pristine.verify.sqlite_guard.notes import Notes, Orders

        self._config = config
        self._guarded = frozenset(item.nodeid for item in guarded)
        self._files = frozenset(item.path for item in guarded)
        self._root = str(config.rootpath)
        self._allow = options.read_one(config, settings.SQLITE_ALLOW)
        self._plugins = _plugins(config)
        self._process = os.getpid()
        self._notes = Notes(directories.make())
        self._notes.begin(Orders(self._root, self._allow))
        self._watch: Watch | None = None
        recording.of_process(config).sqlite.extend(engines.living(self._root, self._may_hold))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Watch from here on, session fixtures that are made for the test included."""
        __tracebackhide__ = True  # what passes through here is somebody else's
        if item.nodeid in self._guarded:
            from pytest_pristine.verify.sqlite_guard.watch import Watch  # it was imported by now

            self._watch = Watch(item.nodeid, self._root, self._allow, self._notes, self._plugins)
            self._watch.begin()
        return (yield from self._phase(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fail the test for what it swallowed."""
        __tracebackhide__ = True
        if self._watch is not None:
            recording.of_test(item).watched = True
        return (yield from self._phase(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Watch until here."""
        __tracebackhide__ = True
        try:
            return (yield from self._phase(item))
        finally:
            if self._watch is not None:
                self._watch.end()
                self._watch = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Hear the processes that outlived their tests."""
        self._settle(None)

    def pytest_unconfigure(self) -> None:
        """Leave nothing."""
        if os.getpid() == self._process:
            shutil.rmtree(self._notes.directory, ignore_errors=True)

    def _may_hold(self, module: str, attribute: str) -> bool:
        """Whether a module may hold an engine: it is allowed, a plugin's, or of tests that are not guarded."""
        from pytest_pristine.verify.sqlite_guard import uses  # runs without guarded tests need it not

        if module in self._plugins or module.partition(".")[0] in self._plugins:
            return True
        if uses.allows(self._allow, [module, f"{module}.{attribute}"]):
            return True
        path = Path(getattr(sys.modules[module], "__file__", None) or "")
        if path.name == "conftest.py":
            return not any(guarded.is_relative_to(path.parent) for guarded in self._files)
        patterns = self._config.getini("python_files")
        return path not in self._files and any(fnmatch(path.name, pattern) for pattern in patterns)

    def _phase(self, item: pytest.Item) -> Generator[None, object, object]:
        """A phase of a test: what it did with SQLite fails it, whatever the test made of the error."""
        __tracebackhide__ = True
        watch = self._watch
        if watch is None:
            return (yield)
        told = len(watch.used)
        try:
            result = yield
        except (KeyboardInterrupt, SystemExit, pytest.exit.Exception):
            raise
        except BaseException as error:
            self._conclude(item, watch, told, error)
            raise
        self._conclude(item, watch, told, None)
        return result

    def _conclude(self, item: pytest.Item, watch: Watch, told: int, error: BaseException | None) -> None:
        self._settle(watch)
        if watch.unwatched or len(watch.used) > told:
            self._record(item, watch)
            self._fail(watch, told, error)

    def _fail(self, watch: Watch, told: int, error: BaseException | None) -> None:
        from pytest_pristine.verify.sqlite_guard import uses

        if len(watch.used) > told and not isinstance(error, SqliteUsedError):
            raise uses.error(watch.used[told:], watch.test) from error

    def _record(self, item: pytest.Item, watch: Watch) -> None:
        record = recording.of_test(item)
        record.sqlite = list(dict.fromkeys([*record.sqlite, *map(str, watch.used)]))
        problems = recording.of_process(self._config).problems
        problems.extend(each for each in watch.unwatched if each not in problems)

    def _settle(self, watch: Watch | None) -> None:
        """Hear what other processes told: it is the test's that runs, or of one that is over."""
        for note in self._notes.new():
            process = recording.of_process(self._config)
            if note.problem:
                process.problems.append(note.problem)
            elif note.use is not None and watch is not None and watch.is_of_test(note.test):
                watch.hear(note.use)
            elif note.use is not None:
                process.sqlite.append(f"{note.test}: {note.use}, after its end")


def _plugins(config: pytest.Config) -> frozenset[str]:
    """The modules of pytest's plugins, and the packages of those that are installed; neither conftest.py nor ours."""
    manager = config.pluginmanager
    modules = {getattr(each, "__name__", type(each).__module__) for each in manager.get_plugins()}
    own = {name for name in modules if name.rpartition(".")[2] != "conftest"}
    installed = {getattr(each, "__name__", "").partition(".")[0] for each, _ in manager.list_plugin_distinfo()}
    return frozenset(name for name in own | installed if name and not name.startswith("_pytest"))
