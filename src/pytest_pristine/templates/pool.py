"""The pool: fresh databases that are there when a test asks for one, made and dropped while other tests run.

A thread makes them, one after the other, as long as more are needed than there are. It ends when there is nothing to
do, and before the process forks: a fork of a process with threads may hang, and Python warns of it.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from pytest_pristine import clock, operating_system
from pytest_pristine.errors import PristineError, RestoreError
from pytest_pristine.postgres import locks, sessions
from pytest_pristine.postgres.anchor import Anchor
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.templates import clones
from pytest_pristine.templates.clones import Clone
from pytest_pristine.templates.copies import Source
from pytest_pristine.templates.fresh import FreshDatabase

# How many are made before they are asked for. It bridges tests that follow each other closely; the time that a database
# takes to be made is the same, however many wait.
AHEAD = 3
# How many are dropped together, and how many there may be to be dropped while somebody waits for a new one.
BATCH, MOST_SPENT = 8, 32
# Seconds after which whoever waits looks whether there is still a thread: a fork has it end.
_INTERVAL = 1.0
# Seconds after which a database is made in the place of one that was taken.
_BREATH = 0.005
# Seconds that the thread is given to come to an end, before what it does is cancelled.
_PATIENCE = 2.0

MAKE, DROP = "make", "drop"

_log = logging.getLogger("pytest_pristine")


@dataclass(frozen=True, slots=True)
class Demand:
    """How many databases a worker's tests will ask for.

    Attributes:
        tests: How many of the collected tests ask for one. Each worker has collected all of them.
        workers: How many workers share these tests.
    """

    tests: int = 0
    workers: int = 1

    def ahead(self, asked: int) -> int:
        """How many to have ready, when so many were asked for by now."""
        share = -(-self.tests // self.workers)
        # Who gets which test is decided as they run: beyond its share a worker may be given more.
        likely = max(share - asked, min(1, self.tests - asked))
        return max(0, min(AHEAD, likely))


@dataclass(frozen=True, slots=True)
class Level:
    """What a pool has at a moment.

    Attributes:
        waiting: Tests that wait for a database, and there is none for them.
        ready: Databases that can be given.
        ahead: How many should be ready.
        spent: Databases that wait to be dropped.
    """

    waiting: int
    ready: int
    ahead: int
    spent: int

    def next(self) -> str:
        """What to do now: `make` one, `drop` those that are spent, or nothing."""
        if self.spent >= MOST_SPENT:
            return DROP
        if self.waiting or self.ready < self.ahead:
            return MAKE
        return DROP if self.spent >= BATCH else ""


class Pool:
    """The fresh databases of one worker."""

    def __init__(
        self,
        source: Source,
        url: URL,
        engine: Callable[[URL], Engine],
        *,
        demand: Demand,
        opened: int = 0,
        revive: Callable[[], bool] = lambda: False,
    ) -> None:
        """Begin to make databases, as many as will be asked for soon.

        Args:
            source: What they are copies of, until another is asked for.
            url: Any database of the server, as tests reach it.
            engine: Makes the engine of one.
            demand: How many will be asked for.
            opened: How many may have a connection before they are asked for.
            revive: Starts the server again if it died and is ours.

        Raises:
            UnreachableError: There is no connection to be had.
        """
        self._source = source
        self._url = url
        self._make_engine = engine
        self._demand = demand
        self._opened = opened
        self._revive = revive
        # Whoever asks does not wait for a statement of the thread: it has a connection of its own.
        self._desk = self._anchor(source, "asks")
        self._bench: Anchor | None = None
        self._asked = 0
        self._is_fork = False
        self._engines = True
        self._given: dict[str, Clone] = {}
        self._start_over()
        _pools.add(self)
        with self._changed:
            self._work_if_needed()

    def expect(self, source: Source) -> None:
        """Say what the next databases will be copies of. Those that are ready of something else stay."""
        with self._mine:
            self._source = source
            self._work_if_needed()

    def take(self, source: Source) -> FreshDatabase:
        """A database for one test, at once where one is ready.

        Args:
            source: What it is a copy of.

        Raises:
            PristineError: It cannot be made.
        """
        with self._mine:
            self._source = source
            self._failed_with(None)
            self._asked += 1
        while True:
            clone = self._wait(source)
            if clone.fresh.is_held() or self._is_there(clone):
                self._given[clone.fresh.name] = clone
                return clone.fresh
            clone.fresh.dispose()

    def sessions(self, fresh: FreshDatabase) -> list[sessions.Open]:
        """The sessions that are in a database now, ours left out."""
        return sessions.open_in(self._desk.alive(), fresh.name)

    def end_sessions(self, fresh: FreshDatabase) -> None:
        """End the sessions in a database.

        Raises:
            RestoreError: One does not end.
        """
        sessions.end(self._desk.alive(), fresh.name)

    def keep(self, fresh: FreshDatabase, test: str, limit: int) -> str:
        """Keep a database as a failed test left it, if there is room; gives the name that it has now, or nothing."""
        name = clones.keep(self._desk.alive(), self._given[fresh.name], test, limit)
        if name:
            del self._given[fresh.name]
        return name

    def give_back(self, fresh: FreshDatabase) -> None:
        """Take a database back that its test is done with. It is dropped later, together with others."""
        # Tests of one kind follow each other: with those that take the URL alone, a connection would wait in vain.
        self._engines = fresh.has_engine
        fresh.dispose()
        clone = self._given.pop(fresh.name, None)
        if clone is None:
            return
        if self._is_fork:
            # Nobody comes after this test, in this process.
            clones.drop(self._desk.alive(), clone)
            return
        clones.mark(self._desk.alive(), clone)
        with self._mine:
            self._spent.append(clone)
            self._work_if_needed()

    def close(self) -> None:
        """Make no more. What is left is dropped at the end of the run."""
        with self._mine:
            self._closed = True
            self._changed.notify_all()
        self._rest()
        for clone in [*self._ready, *self._given.values()]:
            clone.fresh.dispose()
        for anchor in filter(None, (self._desk, self._bench)):
            anchor.close()

    # Of whoever asks

    @property
    def _mine(self) -> threading.Condition:
        """The lock.

        In a fork of the process, as in that of a test under pytest-forked, what the parent has is not ours.
        """
        if os.getpid() != self._pid:
            self._inherited = (self._ready, self._bench)  # never closed here: the parent goes on
            self._bench, self._demand, self._is_fork = None, Demand(), True
            self._start_over()
        return self._changed

    def _start_over(self) -> None:
        """Have nothing, and no thread."""
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._failed_with(None)
        self._ready: list[Clone] = []
        self._spent: list[Clone] = []
        self._waiting = 0
        self._closed = False

    def _failed_with(self, error: Exception | None) -> None:
        self._failure = error

    def _wait(self, source: Source) -> Clone:
        """The next that is ready; waits for it if there is none."""
        with self._mine:
            self._waiting += 1
            try:
                while not (suitable := [clone for clone in self._ready if clone.is_of(source)]):
                    self._raise()
                    self._work_if_needed()
                    self._changed.wait(_INTERVAL)
            finally:
                self._waiting -= 1
            self._ready.remove(suitable[0])
            self._work_if_needed()
            return suitable[0]

    def _is_there(self, clone: Clone) -> bool:
        """Whether a database is there still: the server may have died, and have been made anew."""
        if self._is_fork:
            return clones.is_there(self._desk.alive(), clone)
        try:
            return clones.is_there(self._desk.connection, clone)
        except psycopg.OperationalError:
            return clones.is_there(self._desk.alive(), clone)

    def _raise(self) -> None:
        """Tell whoever waits why there is no database."""
        if self._failure is None:
            return
        if isinstance(self._failure, PristineError):
            raise self._failure
        raise RestoreError(
            "to make a database for one test, a copy of the template",
            str(self._failure).strip() or type(self._failure).__name__,
            ["see the server's log"],
        ) from self._failure

    def _level(self) -> Level:
        """What there is now, with the lock held."""
        ready = sum(1 for clone in self._ready if clone.is_of(self._source))
        return Level(max(0, self._waiting - ready), ready, self._demand.ahead(self._asked), len(self._spent))

    def _work_if_needed(self) -> None:
        """Have the thread work, if there is anything to do; with the lock held."""
        self._changed.notify_all()
        if self._thread is None and not self._closed and self._level().next():
            self._thread = threading.Thread(target=self._work, name="pristine: fresh databases", daemon=True)
            self._thread.start()

    def _rest(self) -> None:
        """Wait until the thread has ended. What takes long is cancelled."""
        thread, bench = self._thread, self._bench
        if thread is None or os.getpid() != self._pid:
            return
        thread.join(_PATIENCE)
        if thread.is_alive() and bench is not None:
            bench.connection.cancel()
            thread.join(_PATIENCE)

    def pause(self) -> None:
        """Have no thread, until somebody asks again."""
        if os.getpid() != self._pid or self._thread is None:
            return
        with self._changed:
            closed, self._closed = self._closed, True
            self._changed.notify_all()
        self._rest()
        self._closed = closed

    # Of the thread

    def _work(self) -> None:
        try:
            # The test that took one begins now.
            self._yield(_BREATH)
            while (what := self._next()) is not None:
                began = clock.now()
                self._do(what)
                self._yield(clock.now() - began)
        except Exception as error:  # noqa: BLE001 - it is told to whoever waits
            _log.debug("fresh databases: %s", error)
            with self._changed:
                self._thread = None
                self._failed_with(error)
                self._changed.notify_all()

    def _next(self) -> str | None:
        with self._changed:
            what = "" if self._closed else self._level().next()
            if not what:
                self._thread = None
                return None
            return what

    def _do(self, what: str) -> None:
        connection = self._alive()
        if what == DROP:
            self._drop_some(connection)
            return
        with self._changed:
            source, opened = self._source, self._engines and len(self._ready) < self._opened
        clone = clones.make(connection, source, self._url, self._make_engine, opened=opened)
        with self._changed:
            self._ready.append(clone)
            self._discard_others()
            self._changed.notify_all()

    def _discard_others(self) -> None:
        """Give up some that are copies of something else by now, if there are many; with the lock held."""
        others = [clone for clone in self._ready if not clone.is_of(self._source)]
        for clone in others[: max(0, len(others) - AHEAD)]:
            self._ready.remove(clone)
            self._spent.append(clone)

    def _drop_some(self, connection: Connection) -> None:
        with self._changed:
            some, self._spent = self._spent[:BATCH], self._spent[BATCH:]
        for clone in some:
            clone.fresh.dispose()
            clones.drop(connection, clone)

    def _yield(self, seconds: float) -> None:
        """Leave the server to the tests for as long as it was taken from them, unless one of them waits."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._level().waiting > 0, seconds)

    def _alive(self) -> Connection:
        if self._bench is None:
            self._bench = self._anchor(self._source, "makes")
        return self._bench.alive()

    def _anchor(self, source: Source, does: str) -> Anchor:
        """A connection that holds the lease together with the others of the run."""
        anchor = Anchor(source.maintenance, f"fresh databases of run {source.mark.run}, {does}", self._revive)
        try:
            anchor.join(locks.lease(source.mark.run))
        except BaseException:
            anchor.close()
            raise
        return anchor


# Those whose threads come to an end before a fork.
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _pause_all() -> None:
    for pool in list(_pools):
        pool.pause()


operating_system.before_fork(_pause_all)
