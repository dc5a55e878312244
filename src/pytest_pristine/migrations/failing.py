"""What an error of the project's code says: in the words of the server or of Python, with the project's own line."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from types import TracebackType

from sqlalchemy.exc import DBAPIError

from pytest_pristine.migrations import extension_names, fingerprint

# Where Python asks the environment: its file, and what the module is called that comes with the interpreter.
_ENVIRON = (os.__file__, "<frozen os>")


def message(error: BaseException) -> str:
    """The error, and the statement that the server rejected."""
    text = str(error.orig) if isinstance(error, DBAPIError) else f"{type(error).__name__}: {error}"
    if isinstance(error, DBAPIError) and error.statement:
        text += f"\nin the statement: {error.statement.strip()[:500]}"
    return text


def state(error: BaseException) -> str:
    """The code that the server gives an error, whatever driver passed it on; empty where there is none."""
    told = error.orig if isinstance(error, DBAPIError) else error
    # psycopg and asyncpg have the one, psycopg2 the other.
    return getattr(told, "sqlstate", None) or getattr(told, "pgcode", None) or ""


def missing_extension(error: BaseException) -> str:
    """The extension that could not be created because the server has not got its files; empty when it is not that."""
    if not isinstance(error, DBAPIError):
        return ""
    if state(error) not in extension_names.NOT_INSTALLED:
        return ""
    return next(extension_names.in_statement(error.statement or ""), "")


def own_line(trace: TracebackType | None, root: str) -> str:
    """The innermost line of the project's own in a traceback: in env.py, or in what it imports."""
    own = [frame for frame in traceback.extract_tb(trace) if _is_own(frame.filename, root)]
    return f"{relative(own[-1].filename, root)}, line {own[-1].lineno}: " if own else ""


def _is_own(file: str, root: str) -> bool:
    # What is named like <string> or <frozen os> is no file, and would be one of the current directory.
    return not file.startswith("<") and fingerprint.is_own(file, Path(root))


def unset_variable(error: BaseException) -> str:
    """The environment variable that was asked for and is not set; empty when it is not that."""
    if not isinstance(error, KeyError) or not error.args:
        return ""
    innermost = traceback.extract_tb(error.__traceback__)[-1:]
    asked = any(frame.name == "__getitem__" and frame.filename in _ENVIRON for frame in innermost)
    return str(error.args[0]) if asked else ""


def relative(file: str, root: str) -> str:
    """A file as it is told: from the project's root, where it lies below."""
    path = Path(file)
    return str(path.relative_to(root)) if file and path.is_relative_to(root) else file
