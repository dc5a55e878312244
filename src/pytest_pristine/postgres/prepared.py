"""A statement that is run before and after every test.

It goes to libpq without a cursor: to build one and adapt values takes psycopg longer than the server takes to answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import psycopg
from psycopg import errors, generators, pq, sql

from pytest_pristine.postgres.connections import Connection

# Names of prepared statements of ours; psycopg's begin with `_pg3_`.
_PREFIX = "pristine_"


@dataclass
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
        self._name = f"{_PREFIX}{self.name}".encode()
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
        if answer.ntuples != 1:
            raise AssertionError(f"{self.name} gave {answer.ntuples} rows")
        values = (answer.get_value(0, column) for column in range(answer.nfields))
        return [None if value is None else value.decode() for value in values]

    def _prepare(self) -> None:
        self._check(self.connection.pgconn.prepare(self._name, self.query.as_bytes(self.connection)))

    def _run(self, parameters: list[bytes]) -> pq.abc.PGresult:
        self.connection.pgconn.send_query_prepared(self._name, parameters)
        # psycopg waits, and hears signals meanwhile.
        *_, answer = self.connection.wait(generators.execute(self.connection.pgconn))
        return self._check(answer)

    def _check(self, answer: pq.abc.PGresult) -> pq.abc.PGresult:
        if answer.status in (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK):
            return answer
        error = errors.error_from_result(answer, encoding="utf-8")
        if error.sqlstate is None and self.connection.closed:
            # It is libpq that says so, and has no code for it.
            raise psycopg.OperationalError(str(error))
        raise error
