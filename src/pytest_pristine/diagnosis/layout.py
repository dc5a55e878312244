"""The report: lines for people, JSON for programs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from pytest_pristine import operating_system
from pytest_pristine.diagnosis.checkup import Group
from pytest_pristine.diagnosis.findings import FAILED, LEVELS, OK, WARNING, Finding

# Counts up when a key of the JSON output changes its meaning or goes. New keys may come at any time.
FORMAT = 1
_COLOURS = {OK: "\033[32m", WARNING: "\033[33m", FAILED: "\033[31m"}
_BOLD, _PLAIN = "\033[1m", "\033[0m"
# Columns of a mark, with the space after it.
_MARK = max(map(len, LEVELS)) + 2
# Columns that a long subject does not widen for all others.
_WIDEST = 30


@dataclass(frozen=True, slots=True)
class Style:
    """How text is shown: with colours, or without."""

    coloured: bool

    def __call__(self, text: str, colour: str) -> str:
        """The text in a colour."""
        return f"{colour}{text}{_PLAIN}" if self.coloured else text


def style(stream: TextIO, environ: Mapping[str, str]) -> Style:
    """Colours on a terminal alone, and not where NO_COLOR is set (https://no-color.org)."""
    return Style(stream.isatty() and not environ.get("NO_COLOR") and operating_system.shows_colours())


def lines(group: Group, style: Style) -> Iterator[str]:
    """A group: its title, then each finding with what to do below it."""
    yield style(group.theme.title, _BOLD)
    width = max((len(each.subject) for each in group.findings if len(each.subject) <= _WIDEST), default=0)
    for finding in group.findings:
        yield from _finding(finding, width, style)
    yield ""


def _finding(finding: Finding, width: int, style: Style) -> Iterator[str]:
    mark = style(f"{finding.level:<{_MARK}}", _COLOURS[finding.level])
    indent = " " * (2 + _MARK)
    first, *further = finding.found.expandtabs(2).splitlines() or [""]
    yield f"  {mark}{finding.subject:<{width}}  {first}"
    yield from (f"{indent}{' ' * width}  {line}" for line in further)
    if finding.level == OK:
        return
    if finding.sought:
        yield f"{indent}sought:  {finding.sought}"
    for remedy in finding.remedy:
        head, *rest = remedy.splitlines()
        yield f"{indent}to do:   {head}"
        yield from (f"{indent}         {line}" for line in rest)


def summary(groups: Sequence[Group], style: Style) -> str:
    """One line: how many of each."""
    number = _count(groups)
    words = ", ".join(f"{number[level]} {level}" for level in LEVELS)
    return style(words, _COLOURS[next((level for level in reversed(LEVELS) if number[level]), OK)])


def as_json(groups: Sequence[Group]) -> str:
    """The report for programs: see docs/doctor.md."""
    found = [
        {
            "check": group.theme.name, "level": finding.level, "subject": finding.subject, "sought": finding.sought,
            "found": finding.found, "remedy": list(finding.remedy),
        }
        for group in groups for finding in group.findings
    ]  # fmt: skip
    number = _count(groups)
    report = {
        "format": FORMAT, "passed": not number[FAILED],
        "summary": {level: number[level] for level in LEVELS}, "findings": found,
    }  # fmt: skip
    return json.dumps(report, indent=2)


def has_failed(groups: Sequence[Group]) -> bool:
    """Whether anything has."""
    return bool(_count(groups)[FAILED])


def _count(groups: Sequence[Group]) -> Counter[str]:
    return Counter(finding.level for group in groups for finding in group.findings)
