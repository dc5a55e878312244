"""The item of the checklist."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_pristine.verify.checklist import FAILED, PASSED, UNKNOWN, Item
from pytest_pristine.verify.records import ProcessRecord, TestRecord

KEY = "sqlite"
TITLE = "no SQLite connection"
# What a sentence about a process that escaped holds.
NOT_WATCHED = "was not watched"


def judge(tests: Sequence[TestRecord], processes: Sequence[ProcessRecord], silent: Sequence[str] = ()) -> Item:
    """Whether guarded tests did without SQLite.

    Args:
        tests: What is known of the tests that ran.
        processes: What is known of the processes that ran them.
        silent: Workers that did not say how they ended.
    """
    watched = [test for test in tests if test.watched]
    offenders = [f"{test.test}: {use}" for test in tests for use in test.sqlite]
    offenders += [use for process in processes for use in process.sqlite]
    offenders = list(dict.fromkeys(offenders))
    if offenders:
        return Item(KEY, TITLE, FAILED, f"{_many(offenders, 'use')} of SQLite", _REMEDY, tuple(offenders))
    if not watched:
        return Item(KEY, TITLE, UNKNOWN, "no test was guarded")
    escaped = [each for process in processes for each in process.problems if NOT_WATCHED in each]
    if escaped:
        return Item(KEY, TITLE, UNKNOWN, f"{_many(escaped, 'process')} not watched: {escaped[0]}")
    if silent:
        return Item(KEY, TITLE, UNKNOWN, "; ".join(f"{worker} did not say how it ended" for worker in silent))
    left = len(tests) - len(watched)
    others = f"; {left} {'others were' if left > 1 else 'other was'} not" if left else ""
    return Item(KEY, TITLE, PASSED, f"{_many(watched, 'test')} watched, with the processes they started{others}")


def _many(things: Sequence[object], name: str) -> str:
    return f"1 {name}" if len(things) == 1 else f"{len(things)} {name}{'es' if name.endswith('s') else 's'}"


_REMEDY = (
    "use the fixture postgres_engine, or an engine made from postgres_url",
    "where SQLite is meant, allow it: pristine_sqlite_allow = a module, or a pattern of node ids",
)
