"""What a check finds: a line of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pytest_pristine.errors import PristineError

OK = "ok"
WARNING = "warning"
FAILED = "failed"
LEVELS = (OK, WARNING, FAILED)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: `ok`; `warning` when a run may go otherwise than people expect; `failed` when it will not go.
        subject: What was looked at, in few words.
        found: What was found.
        remedy: What to type or change, one line each.
        sought: What was expected, where the subject does not say it.
    """

    level: str
    subject: str
    found: str
    remedy: tuple[str, ...] = ()
    sought: str = ""


def ok(subject: str, found: str) -> Finding:
    """A finding that all is well."""
    return Finding(OK, subject, found)


def warning(subject: str, found: str, *remedy: str) -> Finding:
    """A finding that something may go wrong."""
    return Finding(WARNING, subject, found, remedy)


def failed(subject: str, found: str, *remedy: str) -> Finding:
    """A finding that something will go wrong."""
    return Finding(FAILED, subject, found, remedy)


def of_error(subject: str, error: PristineError, level: str = FAILED) -> Finding:
    """The finding that an error of ours is, with its three parts."""
    return Finding(level, subject, error.found, error.remedy, error.sought)


def worst(findings: Sequence[Finding]) -> str:
    """The worst level among findings."""
    return max((finding.level for finding in findings), key=LEVELS.index, default=OK)
