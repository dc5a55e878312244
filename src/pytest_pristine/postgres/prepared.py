"""A statement that is run before and after every test.

It goes to libpq directly: building a cursor and adapting values takes psycopg longer than the server takes to answer.
While it runs the process does nothing else, signals included, so that it is for what nothing can keep waiting.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg
from psycopg import errors, pq, sql

from pytest_pristine.postgres.connections import Connection

# Names of prepared statements of ours; psycopg's begin with `_pg3_`.
_PREFIX = "pristine_"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A statement that gives one row.

    Attributes:
        connection: In autocommit mode, with the client encoding UTF8.
        name: Tells it from the others of the connection.
        query: With parameters as the server has them: `$1`.
    """

    connection: Connection
    name: str
    query: sql.Composable
    _name: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_name", f"{_PREFIX}{self.name}".encode())
        self._prepare()

    def ask(self, *parameters: str) -> list[str | None]:
        """Run it; parameters and values are text.

        Raises:
            psycopg.Error: The server gives an error, or the connection is lost.
        """
        encoded = [each.encode() for each in parameters]
        try:
            answer = self._run(encoded)
        except errors.InvalidSqlStatementName:
            # psycopg has all statements forgotten when one of its own may have become invalid.
            self._prepare()
            answer = self._run(encoded)
        values = (answer.get_value(0, column) for column in range(answer.nfields))
        return [None if value is None else value.decode() for value in values]

    def _prepare(self) -> None:
        self._check(self.connection.pgconn.prepare(self._name, self.query.as_bytes(self.connection)))

    def _run(self, parameters: list[bytes]) -> pq.abc.PGresult:
        return self._check(self.connection.pgconn.exec_prepared(self._name, parameters))

    def _check(self, answer: pq.abc.PGresult) -> pq.abc.PGresult:
        if answer.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            return answer
        error = errors.error_from_result(answer, encoding="utf-8")
        if error.sqlstate is None and self.connection.closed:
            # It is libpq that says so, and has no code for it.
            raise psycopg.OperationalError(str(error))
        raise error
