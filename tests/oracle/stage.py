"""Stories played: each step is done, and after every restore the oracle is asked."""

from __future__ import annotations

import difflib
from collections import Counter
from types import TracebackType
from typing import Self

import psycopg

from pytest_pristine.errors import RestoreBlockedError
from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.isolation.restored import Restored
from pytest_pristine.postgres import capabilities, connections
from tests.oracle import dumps
from tests.oracle.places import ALL, Place, World
from tests.oracle.stories import PREPARE, RESTORE, ROOT, Step, Story, leave

# Seconds that a restore waits for a lock.
_TIMEOUT = 0.25
# Lines of a difference that are shown.
_SHOWN = 60


class Spoiled(AssertionError):  # noqa: N818 - it says what the database is
    """The database is not as it was, or was made anew in vain.

    Attributes:
        kind: What is wrong, without what differs from case to case.
    """

    def __init__(self, kind: str, details: str = "") -> None:
        super().__init__(f"{kind}: {details}" if details else kind)
        self.kind = kind


class Stage:
    """A place with an isolation at work in it, and the oracle beside it."""

    def __init__(self, world: World, ddl: tuple[str, ...]) -> None:
        self.place = Place(world, ddl)
        self.done: list[Step] = []
        # Words that steps began with, each with whether it worked.
        self.tally: Counter[tuple[str, bool]] = Counter()
        self.refused: Counter[str] = Counter()
        self._isolation: Isolation | None = None
        self._may_rebuild = False
        self._accepted: set[str] = set()

    def __enter__(self) -> Self:
        """Make the database and begin to watch it."""
        place = self.place
        place.build()
        try:
            with place._connect(place.world.server.url, place.template) as client:
                self.before = dumps.dump(place.world.server, place.template, client)
            with connections.connect(place.url, "story") as connection:
                can = capabilities.inspect(connection)
            self._isolation = Isolation(
                place.url, Coverage(), capabilities=can, timeout=_TIMEOUT, rebuild=place.rebuild
            )
            self._steer()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove the database."""
        self.close()

    @property
    def isolation(self) -> Isolation:
        """What is tested."""
        assert self._isolation is not None
        return self._isolation

    @property
    def story(self) -> Story:
        """What was played until now."""
        return Story(tuple(self.place.ddl), tuple(self.done))

    def perform(self, *steps: Step) -> None:
        """Do these steps; those that Postgres refuses are done with that."""
        for step in steps:
            self.done.append(step)
            if step == RESTORE:
                self._end(self.isolation.restore)
            elif step == PREPARE:
                self._end(self.isolation.prepare)
            elif step.who == "leave":
                self.place.leave(step.sql)
            else:
                worked = self._run(step)
                # A plain role cannot remove a superuser's large objects.
                foreign = step.who == ROOT and not self.place.world.superuser and "lo_" in step.sql
                self._may_rebuild |= step.schema or foreign
                self.tally[" ".join(step.sql.split()[:2]), worked] += 1

    def finish(self) -> None:
        """The end of the run: all sessions are closed, and the last test's writes are put back."""
        self.perform(*map(leave, ALL), RESTORE)

    def close(self) -> None:
        """End what was begun."""
        if self._isolation is not None:
            self._isolation.close()
        self.place.remove()

    def _run(self, step: Step) -> bool:
        client = self.place.client(step.who)
        was_open = client.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        statement = self.place.named(step.sql)
        try:
            if step.data is None:
                client.execute(statement)
            else:
                with client.cursor() as cursor, cursor.copy(statement) as copy:
                    copy.write(step.data)
        except psycopg.Error as error:
            self.refused[f"{type(error).__name__}: {' '.join(step.sql.split()[:2])}"] += 1
            if isinstance(error, psycopg.OperationalError) and client.closed:
                return False
            if not was_open:
                client.rollback()
            return False
        return True

    def _end(self, end: object) -> None:
        busy = bool(self.place.open())
        rebuilds = self.place.rebuilds
        restored = self._call(end, busy=busy)
        if end == self.isolation.restore and restored is not None:
            self._compare_locks()
        if end == self.isolation.prepare:
            with self.place.look() as client:
                self._accepted = dumps.advisory_locks(client, self.place.world.role)
        self._compare()
        if self.place.rebuilds > rebuilds and not self._may_rebuild and not (busy and restored is None):
            raise Spoiled("made anew in vain", str(restored))
        if not busy:
            again = self._call(end, busy=False)
            if again:
                raise Spoiled("a second restore found something", str(again))
            self._may_rebuild = False

    def _call(self, end: object, *, busy: bool) -> Restored | None:
        """Restore; None when a session of the test's stood in the way."""
        try:
            restored = end()  # type: ignore[operator]
        except RestoreBlockedError as error:
            if not busy:
                raise Spoiled("blocked by nobody", str(error)) from error
            return None
        except Exception as error:
            raise Spoiled(f"{type(error).__name__}", str(error)) from error
        finally:
            self._steer()
        assert isinstance(restored, Restored)
        return restored

    def _steer(self) -> None:
        """Have the isolation go the way that this world is about."""
        if self.place.world.probing:
            self.isolation._watch.wal_guided = None

    def _compare(self) -> None:
        with self.place.look() as client:
            if not dumps.is_readable(client):
                return
            after = dumps.dump(self.place.world.server, self.place.name, client)
        if after != self.before:
            lines = difflib.unified_diff(self.before.split("\n"), after.split("\n"), "before", "after", "", "", 1, "")
            raise Spoiled("not as it was", "\n" + "\n".join(line[:300] for line in list(lines)[:_SHOWN]))

    def _compare_locks(self) -> None:
        with self.place.look() as client:
            left = dumps.advisory_locks(client, self.place.world.role) - self._accepted
        if left:
            raise Spoiled("advisory locks are held", ", ".join(left))


def play(world: World, story: Story) -> None:
    """Play a story to its end.

    Raises:
        Spoiled: It went wrong.
    """
    with Stage(world, story.ddl) as stage:
        stage.perform(*story.steps)
        stage.finish()
