"""What the tests of one process touch in the schema of their database."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Engine
from sqlalchemy.engine import URL

from pytest_pristine.errors import UnreachableError
from pytest_pristine.postgres import connections, log_lines
from pytest_pristine.postgres.capabilities import Capabilities
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.verify.schema_coverage import enums, objects, sessions, triggers, violations
from pytest_pristine.verify.schema_coverage.counters import DELETED, INSERTED, SCANNED, UPDATED, Counters, Moved
from pytest_pristine.verify.schema_coverage.log import Log
from pytest_pristine.verify.schema_coverage.objects import Schema, SchemaObject

VERSION_TABLES = ("alembic_version",)
# Seconds between two looks for sessions that are about to end, and how many looks there are.
_INTERVAL, _LOOKS = 0.002, 5
# Seconds after which PostgreSQL 14 surely has told of the counts of a session that ended.
_LATE = 1.1


class SchemaCoverage:
    """Observes a database, and notes which objects of its schema were touched.

    What is known of a test: the errors that it met, what its statements stored, what the restore found written, and
    what the counters show, as long as no session of somebody else is there, whose counts may come late. In total
    everything counts.

    Attributes:
        objects: The objects that can be touched. Tests name them by their places here.
        untold: What cannot be looked at, in words.
    """

    def __init__(self, url: URL, capabilities: Capabilities, log: Path | None) -> None:
        """Read the schema; see `begin`."""
        self._url = url
        self._can = capabilities
        self._touched: set[int] = set()
        self._in_test: set[int] = set()
        self._all = Moved()
        self._engines: list[Engine] = []
        self._others, self._settled = 0, True
        self._is_prompt = capabilities.major >= sessions.FIRST_WITH_FLUSH
        self.untold: list[str] = []
        self._connection = self._connect()
        self._functions = sessions.counts_functions(self._connection, capabilities)
        self._read()
        self.objects: list[SchemaObject] = list(self._schema.objects)
        # Where the objects of the present schema are among all, and what was touched of earlier ones.
        self._places = list(range(len(self.objects)))
        self._touched_before: set[int] = set()
        self._log = self._open(log)
        self._say_what_is_untold()

    @classmethod
    def begin(cls, url: URL, capabilities: Capabilities, log: Path | None) -> SchemaCoverage:
        """Read the objects of the schema, and where the counters stand.

        Args:
            url: The database under test, which is pristine now.
            capabilities: What the server offers to our role.
            log: The server's own log, where we may read it.

        Raises:
            UnreachableError: There is no connection to be had.
        """
        return cls(url, capabilities, log)

    def attach(self, engine: Engine) -> None:
        """Have the server count what sessions of an engine do. Their counts are asked for after each test."""
        sessions.count_functions(engine, self._can)
        self._engines.append(engine)

    # What is fed

    def statement(self, statement: str, parameters: object, context: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own
        """Note what a statement stored that SQLAlchemy ran without an error. It may be called in any thread."""
        self._in_test.update(enums.given(self._schema, statement, parameters, context))

    def error(self, error: BaseException) -> None:
        """Note the constraint that an error tells of. It may be called in any thread."""
        number = violations.provoked(self._schema, error)
        if number is not None:
            self._in_test.add(number)

    # What happens around a test

    def after_test(self, *, last: bool = False) -> list[int]:
        """Before the restore after a test: note what it touched, and give the numbers of the objects.

        Args:
            last: Look at everything.
        """
        self._observe(whole=last or not (self._can.superuser and self._is_prompt))
        found, self._in_test = self._in_test, set()
        found = set(found)
        self._touched |= found
        return self._told(found)

    def written(self, tables: Iterable[str]) -> list[int]:
        """Note tables that a restore put back, by the names that it has for them; gives the numbers of the objects.

        It tells of a TRUNCATE, which is not counted. A role that is no superuser restores more than was written.
        """
        if not self._can.superuser:
            return []
        oids = [oid for oid in map(self._schema.called, tables) if oid is not None]
        numbers = sorted({self._schema.written[oid] for oid in oids if oid in self._schema.written})
        self._touched.update(numbers)
        return self._told(numbers)

    def after_restore(self, written: Iterable[str] = (), *, remade: bool = False) -> None:
        """After a restore, and whatever else we did: it does not count.

        Args:
            written: The tables that were put back, by the names that the restore has for them.
            remade: The database was made anew.
        """
        if self._log is not None:
            self._log.skip()
        try:
            if remade:
                self._begin_again()
            else:
                self._leave_out_ours(written)
        except psycopg.OperationalError:
            self._begin_again()

    def finish(self) -> dict[str, Any]:
        """What was touched in total, for `totals`; the connection is ended."""
        if self._can.major < sessions.FIRST_WITH_FLUSH:
            time.sleep(_LATE)
        self.after_test(last=True)
        self._touched.update(triggers.ran(self._schema, self._all))
        self._connection.close()
        if self._others:
            self.untold.append("what sessions that are still open did in the last ten seconds")
        return {
            "objects": [[found.kind, found.shown, found.shown_table] for found in self.objects],
            "touched": sorted({*self._touched_before, *self._told(self._touched)}),
            "untold": list(dict.fromkeys(self.untold)),
        }

    # How it is observed

    def _observe(self, *, whole: bool) -> None:
        self._read_log()
        try:
            settled = self._settle()
            moved = self._counters.look(whole=whole)
            others = self._counters.sessions - sessions.of_pools(self._engines)
            for _ in range(_LOOKS):
                # A session that was closed takes a moment to end, and tells what it did at its end.
                if others <= self._others:
                    break
                time.sleep(_INTERVAL)
                moved.add(self._counters.look(whole=whole))
                others = self._counters.sessions - sessions.of_pools(self._engines)
        except psycopg.OperationalError:
            self._begin_again()
            return
        # A session may have told just now what it did in an earlier test.
        is_certain = settled and self._settled and others <= 0 and self._others <= 0 and self._is_prompt
        self._settled, self._others = settled, max(others, 0)
        if not (self._can.superuser or self._is_prompt):
            # What we did cannot be told apart.
            moved = Moved()
        numbers = self._numbers(moved)
        if is_certain:
            numbers.update(triggers.ran(self._schema, moved))
            self._in_test |= numbers
        self._all.add(moved)
        self._touched |= numbers
        self._look_at_rows(moved)

    def _numbers(self, moved: Moved) -> set[int]:
        """The objects whose counters moved."""
        schema, found = self._schema, set[int]()
        found.update(schema.read[oid] for oid in moved.by[SCANNED])
        for oid in moved.indexes:
            found.update((schema.index_numbers[oid], schema.read[schema.indexes[oid]]))
        for event in (INSERTED, UPDATED, DELETED):
            found.update(schema.written[oid] for oid in moved.by[event] if oid in schema.written)
        found.update(schema.functions[oid] for oid in moved.called if oid in schema.functions)
        return found

    def _look_at_rows(self, moved: Moved) -> None:
        relations = {*moved.by[INSERTED], *moved.by[UPDATED]}
        if not self._is_prompt or self._others:
            relations.update(self._rows.relations)
        # To ask takes as long as a restore. What some test has stored is told of another by its statements alone.
        relations.difference_update(self._rows.explained(self._touched))
        try:
            self._in_test.update(self._rows.values(relations, self._mark))
        except psycopg.OperationalError:
            self._begin_again()

    def _settle(self) -> bool:
        """Have the sessions of our engines tell what they did; gives whether all of them could."""
        if not self._is_prompt:
            return False
        # Each of them, also after one that could not.
        told = [sessions.flush(engine) for engine in self._engines]
        return all(told)

    def _read_log(self) -> None:
        for state, message in self._log.errors() if self._log is not None else ():
            number = self._schema.messages.get((state, message))
            if number is not None:
                self._in_test.add(number)

    def _leave_out_ours(self, written: Iterable[str]) -> None:
        if not self._rows.filled.isdisjoint(map(self._schema.called, written)):
            self._mark = enums.mark(self._connection)
        if not self._can.superuser:
            # Sessions of ours did count, and have told what by now.
            self._tell_counts()
            self._counters.look(whole=True)

    def _tell_counts(self) -> None:
        if self._is_prompt:
            self._connection.execute(sessions.FLUSH)

    # Its connection

    def _connect(self) -> Connection:
        connection = connections.connect(self._url, "schema coverage")
        try:
            sessions.make_uncounted(connection, self._can)
        except BaseException:
            connection.close()
            raise
        return connection

    def _read(self) -> None:
        self._schema: Schema = objects.read(self._connection, VERSION_TABLES, functions=bool(self._functions))
        self._counters = Counters(self._connection, self._schema)
        self._rows = enums.Rows(self._connection, self._schema)
        self._mark = enums.mark(self._connection)
        self._others, self._settled = 0, True

    def _begin_again(self) -> None:
        """Go on in a database that was made anew: its counters are others, and its objects may have other oids."""
        with contextlib.suppress(psycopg.Error):
            self._connection.close()
        try:
            self._connection = self._connect()
        except UnreachableError:
            return
        before = self._schema.objects
        self._read()
        if self._schema.objects != before:
            self._take_up()

    def _take_up(self) -> None:
        """Go on in a database with another schema, as a layer of data may have: its objects join those there were."""
        self._touched_before.update(self._told({*self._touched, *self._in_test}))
        self._touched, self._in_test = set(), set()
        known = {each: place for place, each in enumerate(self.objects)}
        for each in self._schema.objects:
            if each not in known:
                known[each] = len(self.objects)
                self.objects.append(each)
        self._places = [known[each] for each in self._schema.objects]

    def _told(self, numbers: Iterable[int]) -> list[int]:
        """Objects of the present schema by their places among all."""
        return sorted(self._places[number] for number in numbers)

    def _open(self, log: Path | None) -> Log | None:
        if log is None:
            self.untold.append("errors in other processes: the server's log is not ours to read")
            return None
        if sessions.log_prefix(self._connection) != log_lines.PREFIX:
            self.untold.append("errors in other processes: the server was started with another log_line_prefix")
            return None
        try:
            return Log(log, str(self._url.database))
        except OSError as error:
            self.untold.append(f"errors in other processes: {log} cannot be read: {error.strerror}")
            return None

    def _say_what_is_untold(self) -> None:
        if not self._functions:
            self.untold.append("functions and triggers: the role may not set track_functions, which is off")
        elif self._functions == sessions.OF_OURS:
            self.untold.append("functions and triggers that other processes ran: track_functions is off on the server")
        if not (self._is_prompt or self._can.superuser):
            self.untold.append(
                "what was written, read, scanned and called: before PostgreSQL 15 that takes a superuser"
            )
        elif not self._is_prompt:
            self.untold.append("what single tests read, and the indexes and functions they used, before PostgreSQL 15")
