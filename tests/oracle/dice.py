"""Random choices, few in number and small, that Hypothesis draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

_T = TypeVar("_T")


class Dice:
    """Throws for one example."""

    def __init__(self, draw: DrawFn) -> None:
        self._draw = draw

    def number(self, lowest: int, highest: int) -> int:
        """One of the numbers, both ends among them."""
        return self._draw(st.integers(lowest, highest))

    def pick(self, items: Sequence[_T]) -> _T:
        """One of the items."""
        return items[self.number(0, len(items) - 1)]

    def some(self, items: Sequence[_T], most: int) -> list[_T]:
        """Some different ones of the items."""
        indexes = self._draw(st.lists(st.integers(0, len(items) - 1), max_size=most, unique=True)) if items else []
        return [items[index] for index in indexes]

    def chance(self, one_in: int) -> bool:
        """Whether something happens that happens once in so many times."""
        return self.number(1, one_in) == one_in
