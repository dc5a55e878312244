"""What the product promises, held against the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ways
from figures import Figure
from parts import BULK, SMALL
from servers import SUPERUSER

_THREE = 3
# Bytes by which the process may have grown in a session of any length: an allocator's page here and there.
_NO_GROWTH = 1 << 20


@dataclass(frozen=True, slots=True)
class Target:
    """A promise.

    Attributes:
        promise: In words.
        most: The most that the value may be.
        value: What was found.
        unit: Of both: `ms`, `times`, `%`, `kB`.
    """

    promise: str
    most: float
    value: float
    unit: str

    @property
    def is_met(self) -> bool:
        """Whether the promise is kept."""
        return self.value <= self.most

    def document(self) -> dict[str, object]:
        """The target for programs."""
        return {
            "promise": self.promise, "most": self.most, "value": round(self.value, 4), "unit": self.unit,
            "met": self.is_met,
        }  # fmt: skip


def judge(found: Sequence[Figure]) -> list[Target]:
    """Every promise for which there are figures."""
    return [*_by_size(found), *_reads(found), *_bulk(found), *_lookup(found), *_session(found)]


def _median(
    found: Sequence[Figure], part: str, work: str, way: str, *, major: int, tables: int, role: str = SUPERUSER
) -> float | None:
    for figure in found:
        case = figure.case
        if (case.part, case.work, figure.way, case.major, case.tables, case.role) == (
            part, work, way, major, tables, role
        ) and case.dirty in (0, _THREE):  # fmt: skip
            return figure.median
    return None


def _by_size(found: Sequence[Figure]) -> Iterator[Target]:
    """What holds for a superuser."""
    limits = {18: {10: 0.6, 100: 0.6, 500: 0.6, 1000: 0.6}, 15: {100: 0.6, 500: 2.0}}
    for major, by_tables in limits.items():
        for tables, most in by_tables.items():
            value = _median(found, "matrix", SMALL, ways.PRISTINE, major=major, tables=tables)
            if value is not None:
                yield Target(f"{major}: three dirty tables of {tables}", most, value, "ms")
    small, large = (_median(found, "matrix", SMALL, ways.PRISTINE, major=18, tables=tables) for tables in (100, 1000))
    if small and large:
        yield Target("18: 1000 tables over 100 tables", 1.3, large / small, "times")


def _reads(found: Sequence[Figure]) -> Iterator[Target]:
    for figure in found:
        case = figure.case
        if (case.part, case.work, figure.way) == ("matrix", "reads", ways.PRISTINE) and figure.median is not None:
            title = f"{case.major}, {case.role}: after a test that reads, {case.tables} tables"
            yield Target(title, 0.1, figure.median, "ms")


def _bulk(found: Sequence[Figure]) -> Iterator[Target]:
    for figure in found:
        case = figure.case
        if (case.part, figure.way) != ("bulk", ways.PRISTINE) or figure.median is None:
            continue
        other = _median(
            found, "bulk", BULK, ways.TRUNCATE_DIRTY, major=case.major, tables=case.tables, role=case.role
        )  # fmt: skip
        if other:
            title = f"{case.major}, {case.role}: 100,000 rows, {case.tables} tables, over one TRUNCATE of the dirty"
            yield Target(title, 1.2, figure.median / other, "times")


def _lookup(found: Sequence[Figure]) -> Iterator[Target]:
    """What is noticeable is a tenth of a millisecond, as for a test that reads."""
    for figure in found:
        case = figure.case
        if (case.part, case.work) != ("lookup", "not touched") or figure.median is None:
            continue
        without = _median(
            [each for each in found if each.case.work == "none"], "lookup", "none", ways.PRISTINE,
            major=case.major, tables=case.tables, role=case.role,
        )  # fmt: skip
        if without is not None:
            title = f"{case.major}, {case.role}: a lookup table of 100,000 rows, not touched, over none"
            yield Target(title, 0.1, figure.median - without, "ms")


def _session(found: Sequence[Figure]) -> Iterator[Target]:
    for figure in found:
        if figure.case.part == "session" and figure.values is not None:
            title = f"{figure.case.major}, {figure.case.role}: {figure.values['restores']:,.0f} restores"
            yield Target(f"{title}, slower at the end by", 20, 100 * figure.values["growth"], "%")
            grown = figure.values["resident_bytes_grown"]
            yield Target(f"{title}, process larger by", _NO_GROWTH / 1000, grown / 1000, "kB")
