"""Running files of SQL: each in a transaction of its own, as `psql -1` does, statement by statement."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy.engine import URL

from pytest_pristine.errors import MigrationError, MissingExtensionError, StepConfigError, StepFailedError
from pytest_pristine.migrations import extension_names, sql_text
from pytest_pristine.migrations.sql_text import Statement, UnreadableError
from pytest_pristine.postgres import connections, urls
from pytest_pristine.postgres.connections import Connection

# Characters of a statement that an error quotes.
_QUOTED = 500
# What COPY says of the row that it rejects, in whatever language: the first number is that of its line.
_ROW = re.compile(r"COPY [^\n,]*,\D*?(\d+)")
# A new pg_dump sets what an old server does not know, each with the first version that does.
_SETS = re.compile(rb"SET\s+(transaction_timeout|idle_session_timeout)\s*=\s*0\s*", re.IGNORECASE)
_KNOWN_SINCE = {b"transaction_timeout": 170000, b"idle_session_timeout": 140000}
# pg_dump makes the schema that every database has, when it was asked for that alone.
_MAKES_PUBLIC = re.compile(rb"CREATE\s+SCHEMA\s+public\s*", re.IGNORECASE)
_OF_ROLES = re.compile(rb"\s*(ALTER\b.*\bOWNER\s+TO|GRANT|REVOKE|SET\s+(SESSION\s+)?ROLE)\b", re.IGNORECASE | re.DOTALL)

_UNDEFINED_OBJECT, _IN_A_TRANSACTION, _WRONG_BYTES = "42704", "25001", "22021"
_ALONE = "begin the file with -- pristine: no-transaction: its statements are then run one by one"
_WITHOUT_ROLES = "roles belong to the server: make the dump with pg_dump --no-owner --no-privileges"
_UTF8 = "save the file as UTF-8, or begin it with SET client_encoding = …"
_WITH_PSQL = "have psql run it, which finds the database by itself: command: psql -X -v ON_ERROR_STOP=1 -f {}"
_ARCHIVE = "command: pg_restore --no-owner --exit-on-error -d {{url}} {}"
_TEXT = "or make a plain dump: pg_dump --no-owner --no-privileges > {}"
_NO_CREATE = "make the dump without --create"


def run(paths: list[Path], url: URL, show: Callable[[Path], str]) -> None:
    """Run the files in order. What one sets for its session does not reach the next.

    Args:
        paths: The files.
        url: The database.
        show: How a file is named in errors.

    Raises:
        StepConfigError: A file cannot be read, or says what psql alone understands.
        StepFailedError: The server rejects a statement; file and line are named.
        MissingExtensionError: It has not got an extension that is created.
    """
    with connections.connect(url, "sql files") as connection:
        for path in paths:
            try:
                _run_file(path, connection)
            except UnreadableError as error:
                raise _unreadable(error, show(path)) from None
            except _RejectedError as error:
                raise _explain(error, show(path), connection, url) from None
            except OSError as error:
                raise StepConfigError(f"to run {show(path)}", f"it cannot be read: {error}", ["mend that"]) from None


class _RejectedError(Exception):
    """The server rejects a statement."""

    def __init__(self, statement: Statement, error: psycopg.Error) -> None:
        super().__init__(str(error))
        self.statement = statement
        self.error = error


def _run_file(path: Path, connection: Connection) -> None:
    text = sql_text.leads_up(sql_text.as_bytes(path.read_bytes()))
    around = not sql_text.takes_no_transaction(text)
    last = Statement(b"", 1)
    try:
        if around:
            connection.execute("BEGIN")
        for last in sql_text.statements(text):
            _run_statement(last, connection)
        if around:
            connection.execute("COMMIT")
    except psycopg.Error as error:
        raise _RejectedError(last, error) from error
    if connection.info.transaction_status != TransactionStatus.IDLE:
        raise UnreadableError("it begins a transaction and does not end it", last.line, "BEGIN")
    connection.execute("DISCARD ALL")
    connections.make_ours(connection)


def _run_statement(statement: Statement, connection: Connection) -> None:
    if statement.rows is not None:
        with connection.cursor() as cursor, cursor.copy(statement.text) as copy:
            copy.write(statement.rows)
    elif not _is_needless(statement.text, connection):
        # Without parameters it is sent as it is.
        connection.execute(statement.text)


def _is_needless(text: bytes, connection: Connection) -> bool:
    match = _SETS.fullmatch(text)
    if match is not None:
        return connection.info.server_version < _KNOWN_SINCE[match[1].lower()]
    return _MAKES_PUBLIC.fullmatch(text) is not None and bool(
        connection.execute("SELECT FROM pg_namespace WHERE nspname = 'public'").fetchone() is not None
    )


def _unreadable(error: UnreadableError, shown: str) -> MigrationError:
    if error.word == "PGDMP":
        remedy = [f"restore it: {_ARCHIVE.format(shown)}", _TEXT.format(shown)]
    elif error.word in ("\\connect", "\\c"):
        remedy = [_NO_CREATE]
    elif error.word.startswith("\\"):
        remedy = [_WITH_PSQL.format(shown)]
    else:
        remedy = ["mend the file"]
    return StepConfigError(f"to run {shown}", f"line {error.line}: {error}", remedy)


def _explain(rejected: _RejectedError, shown: str, connection: Connection, url: URL) -> MigrationError:
    statement, error = rejected.statement, rejected.error
    encoding = "utf-8" if connection.closed else connection.info.encoding
    text = statement.text.decode(encoding, errors="replace").strip()
    line = statement.line
    position, row = error.diag.statement_position, _ROW.search(error.diag.context or "")
    if position is not None and position.isdigit():
        line += statement.text.decode(encoding, errors="replace").count("\n", 0, int(position) - 1)
    elif statement.rows is not None and row is not None:
        line = statement.rows_line + int(row[1]) - 1
    said = [error.diag.message_primary or str(error), error.diag.message_detail, error.diag.message_hint]
    by = f"{shown}, line {line}"
    quoted = f"\nin the statement: {text[:_QUOTED]}" if text else ""
    found = urls.redact(f"{by}: " + "\n".join(filter(None, said)) + quoted, url)
    sought = f"to run {shown} in the database {url.database!r}"
    missing = next(extension_names.in_statement(text), "")
    if error.sqlstate in extension_names.NOT_INSTALLED and missing:
        remedy = f"install {missing} on the server, or name a server that has it"
        return MissingExtensionError(sought, found, [remedy], missing, by)
    return StepFailedError(sought, found, [_remedy(error, statement.text)])


def _remedy(error: psycopg.Error, text: bytes) -> str:
    if error.sqlstate == _IN_A_TRANSACTION:
        return _ALONE
    if error.sqlstate == _UNDEFINED_OBJECT and _OF_ROLES.match(text) is not None:
        return _WITHOUT_ROLES
    return _UTF8 if error.sqlstate == _WRONG_BYTES else "mend the file"
