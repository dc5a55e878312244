"""A use of SQLite in words, and what allows it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import NamedTuple

from pytest_pristine.errors import SqliteUsedError

OPENED = "opened SQLite database"
IN_CHILD = "in a process of Python that the test started"
MADE = "made an engine for SQLite database"
_NOWHERE = "a place that could not be found"
# Modules that a setting could not name.
_NO_NAMES = ("", "__main__", "__mp_main__")


class Use(NamedTuple):
    """A use of SQLite.

    Attributes:
        place: Where: "tests/test_x.py:12 in test_y".
        did: `OPENED` or `MADE`.
        database: The database's path relative to the root directory, or `:memory:`.
        module: The module that did it, for the setting that allows it.
        how: In which process, where it was not the test's own; empty otherwise.
    """

    place: str
    did: str
    database: str
    module: str
    how: str = ""

    def __str__(self) -> str:
        how = f", {self.how}" if self.how else ""
        return f"{self.place}: {self.did} {self.database!r}{how}"


def place(frame: FrameType | None, root: str) -> str:
    """A frame in words, its file relative to the root directory where it lies below."""
    if frame is None:
        return _NOWHERE
    code = frame.f_code
    return f"{_shown(code.co_filename, root)}:{frame.f_lineno} in {getattr(code, 'co_qualname', code.co_name)}"


def name(database: object, root: str) -> str:
    """A database for people. What follows a question mark may be a secret, and is left out."""
    try:
        text = os.fsdecode(database)  # type: ignore[arg-type]  # anything may be given to sqlite3.connect
    except TypeError:
        text = repr(database)
    text = text.partition("?")[0]
    return _shown(text, root) if text else "a temporary one"


def _shown(path: str, root: str) -> str:
    return os.path.relpath(path, root).replace(os.sep, "/") if path.startswith(root + os.sep) else path


def allows(patterns: Iterable[str], names: Iterable[str]) -> bool:
    """Whether a pattern matches a module, a package above it, or a test's node id.

    Args:
        patterns: As `fnmatch` has them.
        names: Names of modules, or the node id of a test.
    """
    known = tuple(names)
    return any(_matches(pattern, each) for pattern in patterns for each in known)


def _matches(pattern: str, each: str) -> bool:
    from fnmatch import fnmatchcase  # a process that is watched need not pay for it

    return pattern == each or each.startswith((f"{pattern}.", f"{pattern}::")) or fnmatchcase(each, pattern)


def error(uses: Sequence[Use], test: str) -> SqliteUsedError:
    """The error that a test fails with.

    Args:
        uses: What it did, at least once.
        test: Its node id.
    """
    told = list(dict.fromkeys(map(str, uses)))
    allowing = " or ".join(
        dict.fromkeys([use.module for use in uses if use.module not in _NO_NAMES] + [test] * bool(test))
    )
    return SqliteUsedError(
        f"a test that works on Postgres alone{test and f': {test}'}",
        "\n".join(told),
        [
            "use the fixture postgres_engine, or an engine made from postgres_url",
            f"where SQLite is meant, allow it: pristine_sqlite_allow = {allowing or 'a module'}",
        ],
    )
