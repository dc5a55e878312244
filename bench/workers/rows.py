"""What was measured, for people and for programs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

AT_LEAST, AT_MOST = "at least", "at most"


@dataclass(frozen=True, slots=True)
class Target:
    """What is promised.

    Attributes:
        bound: `AT_LEAST` or `AT_MOST`.
        value: The bound itself, in the unit of its row.
    """

    bound: str
    value: float

    def is_met(self, measured: float) -> bool:
        """Whether the promise is kept."""
        return measured >= self.value if self.bound == AT_LEAST else measured <= self.value


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        name: What was measured.
        unit: `s`, `ms`, `MB` or `times`.
        values: One for each repetition.
        target: What is promised; None where nothing is.
    """

    name: str
    unit: str
    values: Sequence[float]
    target: Target | None = None

    @property
    def measured(self) -> float:
        """The median of the repetitions, which is held against the target."""
        return statistics.median(self.values)

    def document(self) -> dict[str, object]:
        """The row for programs."""
        target = None if self.target is None else {"bound": self.target.bound, "value": self.target.value}
        met = None if self.target is None else self.target.is_met(self.measured)
        return {
            "name": self.name, "unit": self.unit, "measured": self.measured, "values": list(self.values),
            "target": target, "met": met,
        }  # fmt: skip


_WIDTH = 58
# Decimal places of a unit.
_PLACES = {"s": 3, "ms": 2, "MB": 1, "times": 2}


def table(rows: Sequence[Row]) -> str:
    """The rows for people."""
    return "\n".join(
        [f"{'median of the runs':<{_WIDTH}}{'measured':>10}{'lowest':>10}{'highest':>10}", *map(_line, rows)]
    )


def _line(row: Row) -> str:
    places = _PLACES[row.unit]
    shown = "".join(f"{value:>10.{places}f}" for value in (row.measured, min(row.values), max(row.values)))
    verdict = ""
    if row.target is not None:
        verdict = "met" if row.target.is_met(row.measured) else "MISSED"
        verdict = f"  {row.target.bound} {row.target.value:g}: {verdict}"
    return f"{row.name:<{_WIDTH}}{shown} {row.unit:<5}{verdict}".rstrip()
