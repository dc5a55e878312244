"""Watching a test: the interpreter tells of each SQLite database before it is opened.

It tells an audit hook, which cannot be removed and is installed when the first guarded test begins. What a hook raises
stops what was about to be done.
"""

from __future__ import annotations

import os
import sys
import threading
from types import FrameType
from typing import Any

from pytest_pristine.verify.sqlite_guard import frames, processes, uses, waiting
from pytest_pristine.verify.sqlite_guard.notes import VARIABLE, Note, Notes
from pytest_pristine.verify.sqlite_guard.uses import Use

_OPENING = "sqlite3.connect"
_EVENTS = frozenset({_OPENING, *processes.EVENTS})
_IN_FORK = "in a process forked from the test's"
_OURS = "pytest_pristine.verify.sqlite_guard."
_UNKNOWN = frames.Finding(tools=False)


class Watch:
    """A guarded test that runs, or a process that one started.

    Attributes:
        test: The test's node id.
        root: pytest's root directory.
        used: What it did with SQLite.
        unwatched: Which processes it started that are not watched, in words.
    """

    def __init__(
        self,
        test: str,
        root: str,
        allow: tuple[str, ...],
        notes: Notes,
        plugins: frozenset[str] = frozenset(),
        process: str = "",
    ) -> None:
        self.test = test
        self.root = root
        self.used: list[Use] = []
        self.unwatched: list[str] = []
        self._allow = allow
        self._notes = notes
        self._plugins = plugins
        self._process = process
        self._thread = threading.get_ident()
        self._pid = os.getpid()
        self._before: str | None = None
        self._starts: list[str] = []

    def begin(self) -> None:
        """Watch from now on, in this process and in those that it starts."""
        _install()
        self._before = os.environ.get(VARIABLE)
        os.environ[VARIABLE] = self._notes.directory
        _watches.append(self)

    def end(self) -> None:
        """Watch no longer."""
        if self in _watches:
            _watches.remove(self)
        if self._before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = self._before

    def is_of_test(self, test: str) -> bool:
        """Whether this is what runs for a test that another process told of; one that told of none is ours."""
        return test in ("", self.test)

    def hear(self, use: Use) -> None:
        """Take what a process told that it started; says where it was started, where that is known."""
        places = set(self._starts)
        # One that guards tests itself says of these alone where they ran.
        how = use.how or uses.IN_CHILD
        self.used.append(use._replace(how=f"{how} at {places.pop()}" if len(places) == 1 else how))

    def opens(self, did: str, database: object) -> None:
        """Judge what is about to be done.

        Raises:
            SqliteUsedError: It is the test's use, and not allowed.
        """
        frame = _caller()
        try:
            use = self._examine(frame, did, database)
        except Exception:  # noqa: BLE001 - whatever a program did to its frames, SQLite was opened
            use = self._use(_UNKNOWN, did, database)
        if use is None:
            return
        for watch in tuple(_watches):
            watch.take(use)
        raise uses.error([use], self.test)

    def take(self, use: Use) -> None:
        """Note a use, for whoever collects what was found."""
        self.used.append(use)
        if self._elsewhere():
            self._notes.add(Note(self.test, use))

    def starts(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at a process that is about to be started."""
        finding = frames.find(_caller(), self._plugins)
        reason = processes.unwatched(event, arguments)
        if finding.tools or reason is None:
            return
        where = uses.place(finding.place, self.root)
        self._starts.append(where)
        if reason and not self.unwatched:
            self.unwatched.append(f"{self.test} started a process of Python that was not watched, {reason} ({where})")
            if self._elsewhere():
                self._notes.add(Note(self.test, None, self.unwatched[0]))

    def _examine(self, frame: FrameType, did: str, database: object) -> Use | None:
        found = frames.find(frame, self._plugins)
        if found.tools:
            return None
        if not found.certain and threading.get_ident() != self._thread:
            waiter = waiting.waiter(frame, self._thread)
            if waiter is not None:
                name = frames.module(waiter)
                found = found._replace(place=waiter, modules=(*found.modules, name), opener=found.opener or name)
        if uses.allows(self._allow, found.modules):
            return None
        return self._use(found, did, database)

    def _use(self, found: frames.Finding, did: str, database: object) -> Use:
        how = self._process or (_IN_FORK if self._elsewhere() else "")
        return Use(uses.place(found.place, self.root), did, uses.name(database, self.root), found.opener, how)

    def _elsewhere(self) -> bool:
        """Whether the one who collects what was found is another process."""
        return bool(self._process) or os.getpid() != self._pid


# Tests may run tests: the innermost is watched.
_watches: list[Watch] = []
_installed: list[bool] = []


def running() -> Watch | None:
    """What is watched now."""
    return next(reversed(tuple(_watches)), None)


def _install() -> None:
    if not _installed:
        _installed.append(True)
        sys.addaudithook(_hook)
        # Loaded when the first test is guarded, and not before.
        from pytest_pristine.verify.sqlite_guard import engines

        engines.attend()


def _hook(event: str, arguments: tuple[Any, ...], events: frozenset[str] = _EVENTS, watches: Any = _watches) -> None:  # noqa: ANN401 - as below
    """The audit hook: it is called for everything, and the interpreter's end takes the module's names away."""
    if watches and event in events:
        # Another thread may have ended it meanwhile.
        for watch in watches[-1:]:
            _heed(watch, event, arguments)


def _heed(watch: Watch, event: str, arguments: tuple[Any, ...]) -> None:
    if event == _OPENING:
        watch.opens(uses.OPENED, arguments[0])
        return
    try:
        watch.starts(event, arguments)
    except Exception as error:  # noqa: BLE001 - the program that starts a process must not notice
        watch.unwatched.append(f"{watch.test} started a process that could not be looked at: {error!r}")


def _caller() -> FrameType:
    """The innermost frame that is not the guard's."""
    frame = sys._getframe(1)  # noqa: SLF001 - there is no public way
    while frame.f_back is not None and frames.module(frame).startswith(_OURS):
        frame = frame.f_back
    return frame
