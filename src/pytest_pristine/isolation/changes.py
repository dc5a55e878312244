"""What was written since the database was pristine: the question between detecting and restoring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pytest_pristine.isolation.catalogue import Relation
from pytest_pristine.postgres.connections import Connection


@dataclass(frozen=True, slots=True)
class Changes:
    """Relations whose content is not, or may not be, what it was.

    Attributes:
        tables: Tables with other rows than the baseline's.
        views: Materialized views with other rows.
        sequences: Sequences that stand elsewhere.
    """

    tables: tuple[Relation, ...] = ()
    views: tuple[Relation, ...] = ()
    sequences: tuple[Relation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tables or self.views or self.sequences)


class ChangeDetector(Protocol):
    """A way to know what was written. It may name too much, never too little.

    Attributes:
        connection: To the database under test; another one when that was lost.
    """

    connection: Connection

    def changes(self) -> Changes:
        """What was written since the last mark."""

    def mark(self, rewritten: Mapping[Relation, int | None]) -> None:
        """Take the present state of these relations as pristine, after their rows were written anew.

        Args:
            rewritten: Each with the number of its rows, where it is known. One that holds another number by now was
                written to meanwhile, and counts as changed.
        """
