"""An item of the checklist: what the run claims, and whether there is evidence for it."""

from __future__ import annotations

from dataclasses import dataclass

PASSED = "passed"
FAILED = "failed"
# There was nothing to look at, or it could not be looked at. It is no claim.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Item:
    """One item.

    Attributes:
        key: A word for programs: `postgres`, `migrations`, `coverage`, `pristine`, `sqlite`, `connections`, `skips`.
        title: What is claimed: "no SQLite connection".
        state: `passed`, `failed` or `unknown`.
        found: The evidence, in words.
        remedy: What to type or change, a line each; of a failed item at least one.
        offenders: What or who made it fail, in full: "test_x.py::test_y left orders 3 rows".
    """

    key: str
    title: str
    state: str
    found: str
    remedy: tuple[str, ...] = ()
    offenders: tuple[str, ...] = ()
