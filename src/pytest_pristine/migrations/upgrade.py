"""The migration process: runs Alembic on one database, and reports what happened and what it read.

Run as `python -m pytest_pristine.migrations.upgrade ANSWER` with a request on standard input. It is the only module
that imports Alembic, with `examination`, `comparison`, `steering` and `witness`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import create_engine, event, pool
from sqlalchemy.engine import Engine, make_url

from pytest_pristine.migrations import comparison, failing
from pytest_pristine.migrations.evidence import Evidence
from pytest_pristine.migrations.guarding import StrayConnectionError, guard
from pytest_pristine.migrations.messages import (
    FAILED,
    NO_TARGET,
    NOT_ON_TOP,
    OFFLINE,
    SEVERAL_HEADS,
    STRAY,
    Answer,
    Request,
)
from pytest_pristine.migrations.reading import Read
from pytest_pristine.migrations.steering import configure, took_connection, wrote_sql
from pytest_pristine.migrations.witness import NotOnTopError, Witness, beside
from pytest_pristine.postgres import urls

# Seconds that the examination after the migrations may take: env.py may wait for a lock that it has taken itself.
_EXAMINATION = 120
_NO_END = f"env.py, run once more for it, did not come to an end within {_EXAMINATION} s, or ended the process"

# Tables of the database connected to that look like Alembic's version table, whatever the project calls it.
_VERSION_TABLES = """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
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
    tried: list[str] = []
    refuse = guard(url, tried=tried)
    engine = create_engine(urls.synchronous(url), poolclass=pool.NullPool)
    event.listen(Engine, "do_connect", refuse)
    config: Config | None = None
    try:
        with engine.connect() as connection:
            tried.clear()
            config = configure(request, connection)
            script = ScriptDirectory.from_config(config)
            with read.holding():  # revisions are loaded now, and may do anything then
                refused = _refused(script, request.target)
            files = [Path(revision.path) for revision in script.walk_revisions()] + [Path(script.dir) / "env.py"]
            if refused is not None:
                return refused
            # Its history is loaded when env.py has begun, as by `alembic upgrade`: env.py may set what revisions see.
            own = ScriptDirectory.from_config(config)
            witness = Witness(request, own, read) if request.is_watched and not raise_errors else None
            if witness is None:
                command.upgrade(config, request.target)
            else:
                witness.upgrade(config)
        if wrote_sql(config):
            return Answer(OFFLINE, "it wrote SQL all the same")
        known = {revision.revision for revision in script.walk_revisions()}
        stray = _stray(engine, known)
    except (StrayConnectionError, NotOnTopError) as error:
        return Answer(STRAY if isinstance(error, StrayConnectionError) else NOT_ON_TOP, str(error))
    except (Exception, SystemExit) as error:
        if raise_errors:
            raise
        found = failure(error, request)
        goes_without = config is not None and not tried and not took_connection(config) and not found.revision
        return replace(found, problem=OFFLINE) if goes_without and _works_offline(request) else found
    finally:
        read.stop()
        engine.dispose()
        event.remove(Engine, "do_connect", refuse)
    if stray is not None:
        return Answer(STRAY, stray)
    # Revisions are no modules of the import system's, and may lie in several directories.
    inputs = read.record(Path(request.root), (*files, *(beside(script) if witness is not None else ())))
    return Answer(None, inputs=inputs, footing=witness.footing(inputs).as_dict() if witness is not None else {})


def _refused(script: ScriptDirectory, target: str) -> Answer | None:
    """Why no database can be brought to a target; None where one can. What is counted from elsewhere may be there."""
    heads = script.get_heads()
    if len(heads) > 1 and target == "head":
        return Answer(SEVERAL_HEADS, f"{len(heads)} heads: {', '.join(heads)}")
    has = f"the history has the head{'' if len(heads) == 1 else 's'} {', '.join(heads)}" if heads else "it has none"
    if target == "base":
        return Answer(NO_TARGET, f"it is where a database begins, before any revision; {has}")
    if "+" not in target and not target.startswith("-"):
        try:
            script.get_revisions(target)
        except CommandError as error:
            return Answer(NO_TARGET, f"{error}; {has}")
    return None


def _works_offline(request: Request) -> bool:
    """Whether env.py would write SQL, where it does not connect. It is run once more for it."""
    config = configure(request, None)
    try:
        command.upgrade(config, request.target, sql=True)
    except (Exception, SystemExit):  # noqa: BLE001 - whatever the project's code raises, it does not
        return False
    return wrote_sql(config)


def _stray(engine: Engine, known: set[str]) -> str | None:
    """What is wrong when no version table of our database has a revision of the history; None when all is well."""
    if not known:
        return None
    with engine.connect() as connection:
        tables = [str(row[0]) for row in connection.exec_driver_sql(_VERSION_TABLES)]
        for table in tables:  # quoted by the server
            rows = connection.exec_driver_sql(f"SELECT version_num::text FROM {table}")  # noqa: S608 - see above
            if any(row[0] in known for row in rows):
                return None
    return "they ran without an error, but left no version table there: env.py uses another connection or did nothing"


def failure(error: BaseException, request: Request) -> Answer:
    """The answer that an error is: what was raised, by which revision or line of the project's."""
    revision, file = _revision(error.__traceback__)
    message = str(error) if isinstance(error, CommandError) else failing.message(error)
    if not revision:
        message = f"{failing.own_line(error.__traceback__, request.root)}{message}"
    extension = failing.missing_extension(error)
    return Answer(
        FAILED, message, revision, failing.relative(file, request.root), extension=extension,
        variable=failing.unset_variable(error),
    )  # fmt: skip


def _revision(trace: TracebackType | None) -> tuple[str, str]:
    """The revision whose script the traceback passes through, and its file."""
    while trace is not None:
        variables = trace.tb_frame.f_globals
        if isinstance(variables.get("revision"), str) and "down_revision" in variables:
            return variables["revision"], trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
    return "", ""


def examine(request: Request) -> Evidence:
    """What is known of the database after the migrations. Whatever keeps it from being known is told in it."""
    config = failing.relative(request.config, request.root)
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
    more = read.record(Path(request.root))
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
