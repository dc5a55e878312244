"""The process that calls a function of the project's, or makes the tables of its models.

Run as `python -m pytest_pristine.migrations.performing ANSWER` with a task on standard input.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, create_engine, pool
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.schema import CreateSchema

from pytest_pristine.migrations import failing
from pytest_pristine.migrations.guarding import StrayConnectionError, guarded
from pytest_pristine.migrations.messages import ABSENT, CALL, FAILED, MODELS, STRAY, Answer, Task
from pytest_pristine.migrations.reading import Read
from pytest_pristine.postgres import urls


class AbsentError(Exception):
    """What a target names is not there, or is something else."""


def perform(task: Task, found: object = None, *, raise_errors: bool = False) -> Answer:
    """Do it.

    Args:
        task: What to do.
        found: What the target names, where it is known already.
        raise_errors: Let what the project's code raises pass, so that its traceback can be read.
    """
    read = Read()
    try:
        with guarded(make_url(task.url), task.target):
            for module in task.modules:
                importlib.import_module(module)
            said = _DOES[task.kind](task, resolve(task.target) if found is None else found)
    except StrayConnectionError as error:
        return Answer(STRAY, str(error))
    except AbsentError as error:
        return Answer(ABSENT, str(error))
    except (Exception, SystemExit) as error:
        if raise_errors:
            raise
        message = failing.own_line(error.__traceback__, task.root) + failing.message(error)
        return Answer(
            FAILED, message, extension=failing.missing_extension(error), state=failing.state(error),
            variable=failing.unset_variable(error),
        )  # fmt: skip
    finally:
        read.stop()
    return Answer(None, said, inputs=read.record(Path(task.root)))


def resolve(target: str) -> object:
    """What `package.module:name` names.

    Raises:
        AbsentError: There is no such module, or it has no such name.
    """
    module, _, path = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        # What it imports itself and is not there is its own error.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise AbsentError(f"no module {module}") from None
    for name in path.split("."):
        if not hasattr(found, name):
            raise AbsentError(f"{module} has no {path}")
        found = getattr(found, name)
    return found


def _call(task: Task, function: object) -> str:
    """Call a function, which may be a coroutine's."""
    if not callable(function):
        raise AbsentError(f"{task.target} is a {type(function).__name__}, and nothing to call")
    result = function(*task.arguments)
    if inspect.isawaitable(result):
        _without_loop(lambda: asyncio.run(_wait_for(result)))
    return ""


async def _wait_for(result: Any) -> Any:  # noqa: ANN401 - whatever can be awaited
    return await result


def _without_loop(work: Callable[[], Any]) -> None:
    """Do something where no event loop runs: in a thread, if there is one in this."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        work()
        return
    errors: list[BaseException] = []

    def do() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits
            errors.append(error)

    thread = threading.Thread(target=do)
    thread.start()
    thread.join()
    for error in errors:
        raise error


def _make_tables(task: Task, models: object) -> str:
    """Make schemas, extensions and tables; gives how many tables."""
    metadata = metadata_of(models, task.target)
    engine = create_engine(urls.synchronous(make_url(task.url)), poolclass=pool.NullPool)
    try:
        with engine.begin() as connection:
            for name in task.extensions:
                quoted = connection.dialect.identifier_preparer.quote_identifier(name)
                connection.exec_driver_sql(f"CREATE EXTENSION IF NOT EXISTS {quoted} CASCADE")
            _make_schemas(metadata, connection)
            metadata.create_all(connection)
    finally:
        engine.dispose()
    return f"{len(metadata.tables)} table{'' if len(metadata.tables) == 1 else 's'}"


def metadata_of(models: object, target: str) -> MetaData:
    """The MetaData, which a declarative base has as an attribute.

    Raises:
        AbsentError: It is something else, or has no tables.
    """
    metadata = getattr(models, "metadata", models)
    if not isinstance(metadata, MetaData):
        raise AbsentError(f"{target} is a {type(models).__name__}, and no MetaData")
    if not metadata.tables:
        raise AbsentError(f"{target} has no tables: the modules that define them are not imported")
    return metadata


def _make_schemas(metadata: MetaData, connection: Connection) -> None:
    """Make the schemas of tables, of their types and of sequences: create_all takes them for granted."""
    names = {table.schema for table in metadata.tables.values()} | {metadata.schema}
    names |= {getattr(column.type, "schema", None) for table in metadata.tables.values() for column in table.columns}
    for name in sorted(filter(None, names)):
        connection.execute(CreateSchema(name, if_not_exists=True))


_DOES: dict[str, Callable[[Task, Any], str]] = {CALL: _call, MODELS: _make_tables}


def main() -> None:
    """Do the task on standard input, and answer in the file that the command line names."""
    task = Task(**json.load(sys.stdin))
    Path(sys.argv[1]).write_text(json.dumps(asdict(perform(task))), encoding="utf-8")


if __name__ == "__main__":
    main()
