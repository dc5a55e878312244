"""The migration process: runs Alembic on one database, and reports what happened and what it read.

Run as `python -m pytest_pristine.migrations.upgrade ANSWER` with a request on standard input. It is the only module
that imports Alembic, with `examination`, `comparison` and `steering`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType

from alembic import command
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, event, pool
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DBAPIError

from pytest_pristine.migrations import comparison, extensions, fingerprint
from pytest_pristine.migrations.evidence import Evidence
from pytest_pristine.migrations.messages import FAILED, SEVERAL_HEADS, STRAY, Answer, Request
from pytest_pristine.migrations.reading import Read
from pytest_pristine.migrations.steering import StrayConnectionError, configure, guard
from pytest_pristine.postgres import urls

# feature_not_supported, undefined_file: what CREATE EXTENSION says, before PostgreSQL 15 too.
_NOT_INSTALLED = ("0A000", "58P01")

# Seconds that the examination after the migrations may take: env.py may wait for a lock that it has taken itself.
_EXAMINATION = 120
_NO_END = f"env.py, run once more for it, did not come to an end within {_EXAMINATION} s, or ended the process"

# Tables of the database connected to that look like Alembic's version table, whatever the project calls it.
_VERSION_TABLES = """
    SELECT 1 FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE a.attname = 'version_num' AND c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
"""


def run(request: Request, *, raise_errors: bool = False) -> Answer:
    """Bring the database to the target.

    Args:
        request: What to migrate.
        raise_errors: Let what a migration raises pass, so that its traceback can be read.
    """
    url = make_url(request.url)
    read = Read()
    refuse = guard(url)
    engine = create_engine(urls.synchronous(url), poolclass=pool.NullPool)
    event.listen(Engine, "do_connect", refuse)
    try:
        with engine.connect() as connection:
            config = configure(request, connection)
            script = ScriptDirectory.from_config(config)
            heads = script.get_heads()
            revisions = [Path(revision.path) for revision in script.walk_revisions()]
            if len(heads) > 1 and request.target == "head":
                return Answer(SEVERAL_HEADS, f"{len(heads)} heads: {', '.join(heads)}")
            command.upgrade(config, request.target)
        stray = _stray(engine, has_revisions=bool(heads))
    except StrayConnectionError as error:
        return Answer(STRAY, str(error))
    except (Exception, SystemExit) as error:
        if raise_errors:
            raise
        return failure(error, request)
    finally:
        read.stop()
        engine.dispose()
        event.remove(Engine, "do_connect", refuse)
    if stray is not None:
        return Answer(STRAY, stray)
    # Revisions are no modules of the import system's, and may lie in several directories.
    files = {*read.files, *revisions}
    return Answer(None, inputs=fingerprint.record(Path(request.root), _module_files(), files, read.directories))


def _stray(engine: Engine, *, has_revisions: bool) -> str | None:
    """What is wrong when no version table stands in our database; None when all is well."""
    with engine.connect() as connection:
        if not has_revisions or connection.exec_driver_sql(_VERSION_TABLES).first() is not None:
            return None
    return "they ran without an error, but left no version table there: env.py uses another connection or did nothing"


def failure(error: BaseException, request: Request) -> Answer:
    """The answer that an error is: what was raised, by which revision or line of the project's."""
    revision, file = _revision(error.__traceback__)
    message = str(error.orig) if isinstance(error, DBAPIError) else f"{type(error).__name__}: {error}"
    if isinstance(error, CommandError):
        message = str(error)
    if isinstance(error, DBAPIError) and error.statement:
        message += f"\nin the statement: {error.statement.strip()[:500]}"
    if not revision:
        message = f"{_own_line(error.__traceback__, request)}{message}"
    return Answer(FAILED, message, revision, _relative(file, request.root), extension=_missing_extension(error))


def _missing_extension(error: BaseException) -> str:
    """The extension that could not be created because the server has not got its files; empty when it is not that."""
    if not isinstance(error, DBAPIError):
        return ""
    # psycopg and asyncpg have the one, psycopg2 the other.
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    return next(extensions.named_in(error.statement or ""), "") if state in _NOT_INSTALLED else ""


def _own_line(trace: TracebackType | None, request: Request) -> str:
    """The innermost line of the project's own in a traceback: in env.py, or in what it imports."""
    own = [frame for frame in traceback.extract_tb(trace) if fingerprint.is_own(frame.filename, Path(request.root))]
    return f"{_relative(own[-1].filename, request.root)}, line {own[-1].lineno}: " if own else ""


def _revision(trace: TracebackType | None) -> tuple[str, str]:
    """The revision whose script the traceback passes through, and its file."""
    while trace is not None:
        variables = trace.tb_frame.f_globals
        if isinstance(variables.get("revision"), str) and "down_revision" in variables:
            return variables["revision"], trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
    return "", ""


def _relative(file: str, root: str) -> str:
    path = Path(file)
    return str(path.relative_to(root)) if file and path.is_relative_to(root) else file


def _module_files() -> list[Path]:
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return [Path(file) for file in files if file and file.endswith(".py")]


def examine(request: Request) -> Evidence:
    """What is known of the database after the migrations. Whatever keeps it from being known is told in it."""
    config = _relative(request.config, request.root)
    try:
        return replace(comparison.compare(request), config=config).brief()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the project's code raises is the answer
        return Evidence(problem=failure(error, request).message, config=config).brief()


def main() -> None:
    """Answer the request on standard input in the file that the command line names."""
    request = Request(**json.load(sys.stdin))
    path = Path(sys.argv[1])
    answer = run(request)
    if answer.problem is not None:
        _write(path, answer)
        return
    # From here on nothing can make the migrations fail: whatever env.py does now, and however it ends, they are told.
    _write(path, replace(answer, evidence=Evidence(problem=_NO_END).as_dict()))
    _end_within(_EXAMINATION)
    read = Read()
    evidence = examine(request)
    read.stop()
    more = fingerprint.record(Path(request.root), _module_files(), read.files, read.directories)
    _write(path, replace(answer, inputs={**answer.inputs, **more}, evidence=evidence.as_dict()))


def _write(path: Path, answer: Answer) -> None:
    """Write the answer in one step: it is there as a whole or not at all."""
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(asdict(answer)), encoding="utf-8")
    beside.replace(path)


def _end_within(seconds: float) -> None:
    """End this process if it still runs then, whatever it waits for."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()


if __name__ == "__main__":
    main()
