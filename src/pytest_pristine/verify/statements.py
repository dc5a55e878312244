"""The statements of the test that runs, as SQLAlchemy's engines run them, synchronous ones and others.

Listening to the class hears every engine of the process, those of the application too.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPICursor

from pytest_pristine import clock
from pytest_pristine.postgres import said
from pytest_pristine.verify.records import Shape

# The key under which a connection remembers when its statement began.
_BEGAN = "pristine_began"
# Characters of a statement and of its parameters that are shown.
_LONGEST_SQL, _LONGEST_PARAMETERS = 600, 200
# Sets of parameters that are shown of a statement that is run with many.
_SETS = 3
_DIALECT = "postgresql"
# Up to where the text of a statement begins.
_INDENT = " " * 23


@dataclass(slots=True)
class Statement:
    """A statement that was run.

    Attributes:
        sql: Its text.
        parameters: Its parameters, as the driver was given them.
        seconds: How long it took.
        rows: Rows that it gave or changed; -1 when the driver does not tell.
        error: What the server said when it failed; else empty.
    """

    sql: str
    parameters: object
    seconds: float
    rows: int
    error: str = ""

    def shown(self, *, parameters: bool) -> str:
        """The statement for people, on a line, and what the server said of it on another.

        Args:
            parameters: Show them.
        """
        ended = (
            "failed" if self.error else "" if self.rows < 0 else f"{self.rows} {'row' if self.rows == 1 else 'rows'}"
        )
        sql = _shortened(" ".join(self.sql.split()), _LONGEST_SQL)
        given = f"  {_shortened(_told(self.parameters), _LONGEST_PARAMETERS)}" if parameters and self.parameters else ""
        error = f"\n{_INDENT}{self.error}" if self.error else ""
        return f"{self.seconds * 1000:8.1f} ms  {ended:<8}  {sql}{given}{error}"


@dataclass(frozen=True, slots=True)
class Listener:
    """Somebody else who wants to know.

    Attributes:
        statement: Told of each statement that was done, its parameters and its context.
        error: Told of each error of the driver.
    """

    statement: Callable[[str, object, object], None]
    error: Callable[[BaseException], None]


class Recorder:
    """Records statements from `begin` on, until it is told to begin again.

    Attributes:
        count: How many there were.
        seconds: How long they took in all.
        shapes: Those of one text together, by their text; only where they are wanted.
        listeners: See `Listener`.
    """

    def __init__(self, last: int, *, shapes: bool) -> None:
        """Listen to all engines.

        Args:
            last: How many are kept.
            shapes: Also sum them up.
        """
        self._last: deque[Statement] = deque(maxlen=last)
        self._sums_up = shapes
        # Threads of the application run statements, too.
        self._lock = threading.Lock()
        self.listeners: list[Listener] = []
        self._is_paused = False
        self.begin()
        event.listen(Engine, "before_cursor_execute", self._before)
        event.listen(Engine, "after_cursor_execute", self._after)
        event.listen(Engine, "handle_error", self._failed)

    def begin(self) -> None:
        """Forget all that was."""
        with self._lock:
            self._last.clear()
            self.count, self.seconds = 0, 0.0
            self.shapes: dict[str, Shape] = {}

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Record nothing within the context, nor tell listeners: what is run there is not the test's."""
        before, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = before

    def close(self) -> None:
        """Listen no more."""
        event.remove(Engine, "before_cursor_execute", self._before)
        event.remove(Engine, "after_cursor_execute", self._after)
        event.remove(Engine, "handle_error", self._failed)

    def shown(self, *, parameters: bool) -> str:
        """The last statements for people, the very last at the end; empty when there were none."""
        with self._lock:
            last = list(self._last)
        return "\n".join(statement.shown(parameters=parameters) for statement in last)

    def _before(self, connection: Connection, *_: object) -> None:
        # A statement may run others before it is done itself: for the default of a column, say.
        connection.info.setdefault(_BEGAN, []).append(clock.now())

    def _after(self, connection: Connection, cursor: DBAPICursor, sql: str, parameters: object, *rest: object) -> None:
        seconds = _ended(connection)
        if connection.dialect.name != _DIALECT or self._is_paused:
            return
        self._note(Statement(sql, parameters, seconds, cursor.rowcount))
        for listener in self.listeners:
            listener.statement(sql, parameters, rest[0])

    def _failed(self, failure: ExceptionContext) -> None:
        if failure.dialect.name != _DIALECT or self._is_paused:
            return
        # An error when connecting has no statement.
        if failure.connection is not None and failure.statement is not None:
            message = said.message(failure.original_exception)
            seconds = _ended(failure.connection)
            self._note(Statement(failure.statement, failure.parameters, seconds, -1, message))
        for listener in self.listeners:
            listener.error(failure.original_exception)

    def _note(self, statement: Statement) -> None:
        with self._lock:
            self._last.append(statement)
            self.count += 1
            self.seconds += statement.seconds
            if self._sums_up:
                shape = self.shapes.setdefault(statement.sql, Shape(statement.sql))
                shape.count += 1
                shape.seconds += statement.seconds
                shape.slowest = max(shape.slowest, statement.seconds)
                shape.rows += max(statement.rows, 0)


def _ended(connection: Connection) -> float:
    """Seconds since the statement of a connection began that began last."""
    began: Sequence[float] = connection.info.get(_BEGAN) or ()
    return clock.now() - connection.info[_BEGAN].pop() if began else 0.0


def _told(parameters: object) -> str:
    """Parameters as text; of many sets of them the first ones."""
    many = len(parameters) if isinstance(parameters, list) else 0
    try:
        text = repr(parameters[:_SETS] if isinstance(parameters, list) else parameters)
    except Exception as error:  # noqa: BLE001 - they are the application's, whose repr may do anything
        return f"(parameters that cannot be shown: {type(error).__name__})"
    return f"{many} sets, {text}" if many > _SETS else text


def _shortened(text: str, size: int) -> str:
    return text if len(text) <= size else f"{text[: size - 1]}…"
