"""The summary in the terminal: the checklist, one line an item, and what to do about those that failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_pristine.report.document import Kept
from pytest_pristine.verify.checklist import FAILED, PASSED, UNKNOWN, Item

_WORDS = {PASSED: "ok", UNKNOWN: "unproven", FAILED: "FAILED"}
_INDENT = " " * 10
# Offenders that are named, unless all are asked for.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Line:
    """A line.

    Attributes:
        text: The text.
        state: The state of the item that it belongs to; empty when it belongs to none.
    """

    text: str
    state: str = ""


def lines(
    items: Sequence[Item], kept: Sequence[Kept], notes: Sequence[str], verbosity: int, *, strict: bool
) -> Iterator[Line]:
    """The summary.

    Args:
        items: The checklist.
        kept: Databases that were kept.
        notes: Further lines.
        verbosity: pytest's: below 0 only what failed is told, above 0 all offenders are.
        strict: What is not proven counts as failed.
    """
    for item in items:
        is_bad = item.state == FAILED or (strict and item.state == UNKNOWN)
        if verbosity >= 0 or is_bad:
            yield from _of_item(item, verbose=verbosity > 0, is_bad=is_bad)
    for each in kept:
        yield Line(f"kept      {each.test}: {each.command}")
    yield from (Line(note) for note in notes)


def _of_item(item: Item, *, verbose: bool, is_bad: bool) -> Iterator[Line]:
    yield Line(f"{_WORDS[item.state]:<10}{item.title}: {item.found}", item.state)
    if item.state == PASSED:
        return
    named = item.offenders if verbose else item.offenders[:_NAMED]
    yield from (Line(_indented(offender), item.state) for offender in named)
    if len(named) < len(item.offenders):
        yield Line(_indented(f"and {len(item.offenders) - len(named)} more, which -v shows"), item.state)
    yield from (Line(_indented(f"to do: {remedy}"), item.state) for remedy in item.remedy if is_bad)


def _indented(text: str) -> str:
    return "\n".join(_INDENT + line for line in text.splitlines())
