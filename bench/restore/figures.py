"""A figure: what was measured, in what circumstances."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from measuring import Contender, Times


@dataclass(frozen=True, slots=True)
class Case:
    """What a figure holds for.

    Attributes:
        part: Of the benchmark.
        major: Version of Postgres.
        role: `superuser` or `owner`.
        tables: How many there are.
        work: What the test did, in words.
        dirty: How many tables the test wrote to.
        chain: After how many tables the chain of foreign keys breaks; 0 for never.
    """

    part: str
    major: int
    role: str
    tables: int
    work: str = ""
    dirty: int = 0
    chain: int = 0


@dataclass(frozen=True, slots=True)
class Figure:
    """What one way took in one case.

    Attributes:
        case: The case.
        way: The way.
        times: What it took; None when it failed.
        error: Why it failed.
        values: Whatever else was found.
    """

    case: Case
    way: str
    times: Times | None = None
    error: str = ""
    values: dict[str, float] | None = None

    @property
    def median(self) -> float | None:
        """The median in milliseconds, where there is one."""
        return None if self.times is None else self.times.median

    def document(self) -> dict[str, object]:
        """The figure for programs; what does not apply is left out."""
        flat = {**asdict(self.case), "way": self.way}
        if self.times is not None:
            flat["milliseconds"] = asdict(self.times)
        if self.error:
            flat["error"] = self.error
        return {**flat, **(self.values or {})}


def of(case: Case, way: str, contender: Contender) -> Figure:
    """The figure of a contender that had its turns."""
    if contender.error:
        return Figure(case, way, error=contender.error)
    return Figure(case, way, contender.times())
