"""What a restore did."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pytest_pristine.isolation.catalogue import Relation
from pytest_pristine.postgres.connections import Connection

# How the words for a sequence begin.
SEQUENCE = "sequence "


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore put back.

    Attributes:
        rows: Each table with the number of rows that were removed or written anew; None for all.
        others: What else was put back, in words.
        leftovers: What a test should not have left and nobody can put back, in words: it was removed.
        remade: Why the database was made anew, in words; empty when it was not.
    """

    rows: tuple[tuple[str, int | None], ...] = ()
    others: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    remade: str = ""

    @property
    def committed(self) -> str:
        """What only a transaction can have left that was committed, in words; sequences advance without one."""
        others = tuple(other for other in self.others if not other.startswith(SEQUENCE))
        return "" if not (self.rows or others or self.remade) else str(replace(self, others=others, leftovers=()))

    def __bool__(self) -> bool:
        return bool(self.rows or self.others or self.leftovers or self.remade)

    def __str__(self) -> str:
        tables = (f"{name} {_rows(count)}" for name, count in self.rows)
        parts = [*tables, *self.others, *self.leftovers, *([f"all, because of {self.remade}"] if self.remade else [])]
        return ", ".join(parts) or "nothing"


def _rows(count: int | None) -> str:
    return "all rows" if count is None else f"{count} {'row' if count == 1 else 'rows'}"


@dataclass(slots=True)
class Written:
    """What a way of restoring did.

    Attributes:
        rows: Each table with the number of rows that were removed or written anew; None for all.
        own: Full ids of the transactions that it took, in order.
        filled: Tables that were written anew.
        long: Tables whose files should be cut short.
    """

    rows: dict[Relation, int | None] = field(default_factory=dict)
    own: list[int] = field(default_factory=list)
    filled: list[Relation] = field(default_factory=list)
    long: list[Relation] = field(default_factory=list)

    def note(self, connection: Connection) -> None:
        """Remember the present transaction as ours."""
        row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
        self.take(None if row is None else row[0])

    def take(self, xid: object) -> None:
        """Remember a transaction as ours."""
        if int(str(xid)) not in self.own:
            self.own.append(int(str(xid)))


class Spoiled(Exception):  # noqa: N818 - `Isolation` catches it, and it is no error
    """The database cannot be put back, and must be made anew.

    Attributes:
        why: What was found, in words.
        catalogues: Oids of the catalogues that hold other rows.
    """

    def __init__(self, why: str, catalogues: frozenset[int] = frozenset()) -> None:
        super().__init__(why)
        self.why = why
        self.catalogues = catalogues
