"""A connection in a transaction that is rolled back, and sessions of SQLAlchemy's ORM that take it for their own.

What stands for a transaction of theirs is a savepoint. A savepoint is not checked for deferred constraints when it is
released, and is lost when somebody ends the real transaction: both are seen to here.
"""

from __future__ import annotations

import contextlib
import functools
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from sqlalchemy import Connection, Engine, NestedTransaction, RootTransaction, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction

from pytest_pristine.errors import DeferredConstraintError, DriverError
from pytest_pristine.isolation import deferred, unheard
from pytest_pristine.isolation.deferred import Deferral
from pytest_pristine.postgres import said

# The key under which what is known of a connection has the `Rollback` that it is of.
_KEY = "pristine_rollback"
# A setting that is gone with the real transaction, whoever ends it.
_BEGIN = f"SELECT set_config('pristine.rollback', 'on', true), {deferred.QUERY}"
_IS_OURS = "SELECT current_setting('pristine.rollback', true) = 'on'"
# The session's counters tell of earlier transactions, too, until it has told the server of these: as a rule that takes
# it a second. With this it does so at the end of the transaction, before which PostgreSQL 15 knows no way.
_FLUSH, _FIRST_WITH_FLUSH = "pg_stat_force_next_flush()", (15,)
# The key under which a connection has that it has told.
_HAS_TOLD = "pristine_told"
# Rows of each table, those of savepoints that were rolled back among them.
_WRITTEN = """
    SELECT relid::regclass || ' '
           || concat_ws(' and ', nullif(n_tup_ins, 0) || ' inserted', nullif(n_tup_upd, 0) || ' updated',
                        nullif(n_tup_del, 0) || ' deleted')
    FROM pg_stat_xact_user_tables WHERE n_tup_ins + n_tup_upd + n_tup_del > 0 ORDER BY 1
"""
# What is said of a transaction in which a statement failed: it cannot be committed, nor anything be asked in it.
_FAILED = "25P02"

# The savepoints that stand for transactions of sessions.
_savepoints: WeakKeyDictionary[SessionTransaction, NestedTransaction] = WeakKeyDictionary()
# Engines whose connections have been found to be in a transaction when they were told to begin one.
_engines: WeakSet[Engine] = WeakSet()


class RolledBackSession(Session):
    """A session whose transactions are never committed for good."""

    def __init__(self, *, rollback: Rollback, **further: Any) -> None:  # noqa: ANN401 - what every session takes
        super().__init__(join_transaction_mode="create_savepoint", **further)
        self._rollback = rollback
        rollback.sessions.append(self)

    @property
    def bind(self) -> Engine | Connection | None:
        """With what it works: its connection once it has one, the engine before. To ask for it takes none."""
        return self._rollback.bind

    @bind.setter
    def bind(self, _: Engine | Connection | None) -> None:
        """It is what it is; SQLAlchemy sets it at first."""

    def get_bind(self, *_: Any, bind: Engine | Connection | None = None, **__: Any) -> Engine | Connection:  # noqa: ANN401 - SQLAlchemy's
        """The connection in whose transaction all happens; another one for a statement that names it."""
        return self._rollback.connection if bind is None else bind


class Rollback:
    """A connection in a transaction that is rolled back. It is taken when it is first asked for.

    Attributes:
        has_ended_early: Somebody ended the real transaction.
        sessions: Those that are closed with it.
    """

    def __init__(self, engine: Engine) -> None:
        """Take nothing yet.

        Args:
            engine: Gives the connection.
        """
        self._engine = engine
        self._connection: Connection | None = None
        self._outer: RootTransaction | None = None
        self._deferral = Deferral.NONE
        self.has_ended_early = False
        self.sessions: list[Session] = []
        _hear_sessions()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection by now, and it is alive."""
        return self._connection is not None and not self._connection.closed and not self._connection.invalidated

    @property
    def bind(self) -> Engine | Connection:
        """The connection if there is one, else what gives it."""
        return self._connection if self.is_open and self._connection is not None else self._engine

    @property
    def connection(self) -> Connection:
        """The connection, another one when that was lost. With an asynchronous engine it is asked for in a greenlet."""
        if not self.is_open:
            self._give_back()
            self._begin()
        if self._connection is None:
            raise AssertionError("it was opened just now")
        return self._connection

    def finish(self, *, failed: bool = False, keep: bool = False) -> None:
        """Check what was left uncommitted, roll back, close the sessions, and give the connection back.

        Args:
            failed: The test has failed: it is not checked.
            keep: Commit what was written, as far as that is possible: the database is to be kept as it is.

        Raises:
            DeferredConstraintError: What was left uncommitted violates a deferred constraint.
        """
        try:
            if keep and self._outer is not None and self.is_open:
                with contextlib.suppress(DBAPIError):
                    self._outer.commit()
            elif not failed:
                self._check()
        finally:
            self._give_back()
            for session in self.sessions:
                session.close()

    def described(self) -> str:
        """What was written so far, in words."""
        connection = self._connection
        if connection is None or not self.is_open:
            return "nothing"
        if not self._counts(connection):
            return "see the statements"
        try:
            rows = unheard.rows(connection, _WRITTEN)
        except self._error:
            return "see the statements, one of which failed"
        return ", ".join(str(row[0]) for row in rows) or "nothing"

    def _check(self) -> None:
        """Check what was left uncommitted, as far as constraints were deferred.

        Raises:
            DeferredConstraintError: It violates one.
        """
        connection = self._connection
        if connection is None or not self.is_open or self._deferral is Deferral.NONE:
            return
        savepoint = connection.get_nested_transaction()
        if savepoint is not None and not savepoint.is_active:
            return  # a commit has failed, and nothing of what it was to commit is left
        try:
            deferred.check(connection)
        except DBAPIError as error:
            if (said.fields(error) or {}).get("sqlstate") == _FAILED or error.connection_invalidated:
                return
            told, whole = said.message(error.orig or error), str(error.orig).strip()
            raise DeferredConstraintError(
                "to check the deferred constraints of what the test did not commit, before it is rolled back",
                whole if whole.startswith(told) else told,
                ["commit it in the test, which then gets the error; or roll it back there"],
            ) from error

    @property
    def _error(self) -> type[BaseException]:
        """The base of all errors of the driver."""
        return self._engine.dialect.loaded_dbapi.Error

    def _begin(self) -> None:
        connection = self._engine.connect()
        try:
            counts = self._counts(connection)
            if counts and _HAS_TOLD not in connection.info:
                unheard.run(connection, f"SELECT {_FLUSH}")
                unheard.roll_back(connection)
            self._outer = connection.begin()
            begin = f"{_BEGIN}, {_FLUSH}" if counts else _BEGIN
            self._deferral = Deferral(unheard.rows(connection, begin)[0][1])
            if self._engine not in _engines:
                self._check_engine(connection)
        except BaseException:
            connection.close()
            raise
        connection.info[_KEY] = self
        event.listen(connection, "release_savepoint", self._release)
        event.listen(connection, "rollback_savepoint", self._roll_back)
        self._connection = connection

    def _give_back(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None or connection.closed:
            return
        with contextlib.suppress(DBAPIError):
            if not connection.invalidated:
                connection.info.pop(_KEY, None)
            if self._outer is not None:
                self._outer.close()
        info = {} if connection.invalidated else connection.info
        connection.close()
        info[_HAS_TOLD] = True

    def _release(self, connection: Connection, name: str, _: object) -> None:
        """Before a savepoint is released: where that stands for COMMIT, do what COMMIT does."""
        with contextlib.suppress(self._error):
            if self.has_ended_early or not unheard.ask(connection, _IS_OURS):
                self._make_up(connection, name)
        if connection.get_nested_transaction() in list(_savepoints.values()):
            try:
                deferred.check_as_commit_does(connection, self._deferral)
            except DBAPIError:
                # SQLAlchemy takes the savepoint for gone. A COMMIT that fails leaves nothing either.
                unheard.run(connection, f"ROLLBACK TO SAVEPOINT {name}")
                raise

    def _roll_back(self, connection: Connection, name: str, _: object) -> None:
        """Before SQLAlchemy rolls back to a savepoint: do it, and if it is not there any more, make it."""
        if connection.invalidated:
            return
        try:
            unheard.run(connection, f"ROLLBACK TO SAVEPOINT {name}")
        except self._error:
            with contextlib.suppress(self._error):
                unheard.roll_back(connection)
                self._make_up(connection, name)

    def _make_up(self, connection: Connection, name: str) -> None:
        """Make a savepoint that went with the real transaction. What follows is rolled back all the same."""
        self.has_ended_early = True
        try:
            unheard.run(connection, f"SAVEPOINT {name}")
        except self._error:
            # Most drivers begin another transaction by themselves. asyncpg's takes the last one for open.
            unheard.run(connection, "BEGIN")
            unheard.run(connection, f"SAVEPOINT {name}")

    def _check_engine(self, connection: Connection) -> None:
        """Check that a transaction has begun.

        Raises:
            DriverError: It has not: each statement is one of its own.
        """
        if not unheard.ask(connection, _IS_OURS):
            raise DriverError(
                "a transaction on postgres_engine, for a session that is rolled back",
                "each statement is committed at once: the engine's isolation level is AUTOCOMMIT",
                ["make postgres_engine without isolation_level='AUTOCOMMIT'",
                 "or have the code under test ask for it: engine.execution_options(isolation_level='AUTOCOMMIT')"],
            )  # fmt: skip
        event.listen(self._engine, "checkin", lambda _, entry: entry.info.pop(_HAS_TOLD, None))
        _engines.add(self._engine)

    def _counts(self, connection: Connection) -> bool:
        """Whether the session's counters tell what this transaction wrote. To ask takes a loop that runs, or none."""
        return not connection.dialect.is_async and (connection.dialect.server_version_info or ()) >= _FIRST_WITH_FLUSH


@functools.cache
def _hear_sessions() -> None:
    """Hear of all sessions of the process: the application's own join our transaction, too."""
    event.listen(Session, "after_begin", _begun)
    event.listen(Session, "after_transaction_end", _ended)


def _begun(_: Session, transaction: SessionTransaction, connection: Connection) -> None:
    """Note what stands for a transaction of a session."""
    savepoint = connection.get_nested_transaction()
    if _KEY in connection.info and not transaction.nested and savepoint is not None:
        _savepoints[transaction] = savepoint


def _ended(_: Session, transaction: SessionTransaction) -> None:
    """Give up the savepoint of a commit that failed: SQLAlchemy would let nobody else use the connection."""
    savepoint = _savepoints.pop(transaction, None)
    if savepoint is not None and not savepoint.is_active:
        savepoint.close()
