"""What a test leaves beside the rows: open transactions, prepared ones, advisory locks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pytest_pristine import clock
from pytest_pristine.isolation import gate
from pytest_pristine.postgres import sessions
from pytest_pristine.postgres.connections import Connection

# Seconds between two looks at a session that may be at work.
_INTERVAL = 0.005

# What is done, on a connection, about what a look shows.
Treatment = Callable[[Connection, gate.Look], None]


@dataclass(slots=True)
class Leftovers:
    """Finds and removes what outlives a test, and says what it was.

    Attributes:
        timeout: Seconds that a session may go on working.
        tell: Called when sessions were ended.
        found: What was removed, in words.
    """

    timeout: float
    tell: Callable[[], None]
    found: list[str] = field(default_factory=list)
    # Session-level advisory locks that are held by right: those that were there before the test.
    _locks: frozenset[str] = frozenset()

    def accept(self, connection: Connection, look: gate.Look) -> None:
        """Before a test: accept the advisory locks that there are, and end sessions that have not committed.

        A test that writes the same key would wait for them, and keys come again: sequences were set back.
        """
        self._locks = look.advisory
        if look.snapshot.open:
            self._end_forgotten(connection)

    def remove(self, connection: Connection, look: gate.Look) -> None:
        """After a test: end the idle sessions that hold advisory locks which were not there before it."""
        left = look.advisory - self._locks
        if not left:
            return
        ended, hidden = sessions.end_idle(connection, {int(lock.split()[0]) for lock in left})
        if ended:
            self.tell()
        self.found += [f"an advisory lock of the session {who}, which was ended" for who in ended]
        self.found += [
            f"an advisory lock of the session {who}, of which it is not known whether it may be ended" for who in hidden
        ]

    def roll_back_prepared(self, connection: Connection, look: gate.Look) -> bool:
        """Roll prepared transactions back, which are open as long as nobody ends them; says whether there were any."""
        names = sessions.roll_back_prepared(connection) if look.snapshot.open else []
        self.found += [f"the prepared transaction {name!r}, which was rolled back" for name in names]
        return bool(names)

    def forget_locks(self) -> None:
        """Nobody holds any: all sessions were ended."""
        self._locks = frozenset()

    def _end_forgotten(self, connection: Connection) -> None:
        deadline = clock.now() + self.timeout
        found = sessions.forgotten(connection)
        while found and clock.now() < deadline:
            time.sleep(_INTERVAL)
            present = sessions.forgotten(connection)
            found = {session: last for session, last in found.items() if present.get(session) == last}
        ended = sessions.end_some(connection, found)
        if ended:
            self.tell()
        self.found += [
            f"an open transaction of the session {who}, which was ended; its last query: {found[who][0]}"
            for who in ended
        ]
