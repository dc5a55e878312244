"""Running a loader: it is given an engine of its own for the database that it loads, and says what went wrong."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import psycopg
from sqlalchemy import create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from pytest_pristine.errors import LayerError, PristineError
from pytest_pristine.loading.identity import Load
from pytest_pristine.migrations import fingerprint
from pytest_pristine.postgres import urls

# Characters of a statement that an error quotes.
_STATEMENT = 500
_ASYNCHRONOUS = "postgresql+psycopg"


def run(load: Load, name: str, url: URL, root: Path) -> None:
    """Have a loader load its data.

    Args:
        load: The loader. A coroutine function is given an `AsyncEngine`, and runs in a thread with a loop of its own.
        name: What it is called, for people.
        url: The database.
        root: The project's root.

    Raises:
        LayerError: It raised something.
    """
    try:
        if _is_coroutine_function(load):
            _in_thread(functools.partial(_run_in_loop, load, url))
        else:
            _run_plainly(load, name, url)
    except PristineError:
        raise
    except Exception as error:
        raise LayerError(
            f"the data of the layer that {name} loads",
            urls.redact(_told(error, root), url),
            ["mend the loader; nothing is left of what it wrote, and the database is as it was"],
        ) from error


def _is_coroutine_function(load: object) -> bool:
    while isinstance(load, functools.partial):
        load = load.func
    return inspect.iscoroutinefunction(load) or inspect.iscoroutinefunction(getattr(load, "__call__", None))  # noqa: B004 - what is called is looked at


def _run_plainly(load: Load, name: str, url: URL) -> None:
    engine = create_engine(urls.synchronous(url))
    try:
        given = load(engine)
    finally:
        engine.dispose()
    if inspect.isawaitable(given) or inspect.isgenerator(given) or inspect.isasyncgen(given):
        close = getattr(given, "close", None)
        if close is not None:
            close()
        raise LayerError(
            f"the data of the layer that {name} loads",
            f"it has not begun: it gave {type(given).__name__} instead of loading",
            ["write it as a plain function, or as async def"],
        )


async def _run_on(load: Load, url: URL) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine  # few loaders need it

    is_async = url.get_dialect().is_async or url.drivername == _ASYNCHRONOUS
    engine = create_async_engine(url if is_async else url.set(drivername=_ASYNCHRONOUS))
    try:
        given = load(engine)
        if inspect.isawaitable(given):
            await given
    finally:
        await engine.dispose()


def _run_in_loop(load: Load, url: URL) -> None:
    # psycopg cannot work on the loop that Windows has by default.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop if sys.platform == "win32" else None) as runner:
        runner.run(_run_on(load, url))


def _in_thread(work: Callable[[], None]) -> None:
    """Work in a thread, because a loop may be running in this one, and wait for it."""
    failures: list[BaseException] = []
    context = contextvars.copy_context()

    def run() -> None:
        try:
            context.run(work)
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            failures.append(error)

    thread = threading.Thread(target=run, name="pristine loader", daemon=True)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _told(error: Exception, root: Path) -> str:
    """What was raised, where in the project's own code, and by which statement."""
    if isinstance(error, DBAPIError):
        said = f"{type(error.orig).__name__}: {str(error.orig).strip()}"
        said += f"\nin the statement: {error.statement.strip()[:_STATEMENT]}" if error.statement else ""
    else:
        said = f"{type(error).__name__}: {str(error).strip()}"
    sqlstate = error.sqlstate if isinstance(error, psycopg.Error) else None
    return f"{_own_line(error.__traceback__, root)}{said}{f' ({sqlstate})' if sqlstate else ''}"


def _own_line(trace: TracebackType | None, root: Path) -> str:
    """The innermost line of the project's own in a traceback."""
    own = [frame for frame in traceback.extract_tb(trace) if fingerprint.is_own(frame.filename, root)]
    if not own:
        return ""
    file = Path(own[-1].filename)
    return f"{file.relative_to(root) if file.is_relative_to(root) else file}, line {own[-1].lineno}: "
