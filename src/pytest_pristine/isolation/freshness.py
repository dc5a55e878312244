"""Which rows were written since the database was pristine, told by the transactions that wrote them."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from pytest_pristine.postgres import snapshots

# Frozen rows are of any age, and after two thousand million transactions of a negative one; a little below zero are
# transactions that are younger than our own.
_YOUNG = "age(xmin) BETWEEN -1000000 AND (SELECT age(%(following)s::xid))"
_OPEN = "%(some_open)s AND xmin = ANY (%(open)s::xid[])"

# Whether a row is fresh: a condition for queries that are given the parameters of a `Fresh`. It is asked of every row,
# as a rule in vain: what is the same for all is asked once.
FRESH = sql.SQL(f"(%(all)s OR {_YOUNG} AND xmin <> ALL (%(own)s::xid[]) OR {_OPEN})")
# The same of rows that we may have written upon what others wrote: our own are no exception.
FRESH_OR_OURS = sql.SQL(f"(%(all)s OR {_YOUNG} OR {_OPEN})")


@dataclass(frozen=True, slots=True)
class Fresh:
    """What makes a row fresh: that it could not be seen when the database was pristine, and is not of our making.

    Attributes:
        following: Full id of the first transaction that had not begun then.
        open: Full ids of those that had begun, and had not ended.
        own: Full ids of our own since.
        all: Every row counts as fresh.
    """

    following: int
    open: tuple[int, ...] = ()
    own: tuple[int, ...] = ()
    all: bool = False

    @property
    def parameters(self) -> dict[str, object]:
        """The parameters of `FRESH`."""
        open_ = [snapshots.short(xid) for xid in self.open if xid not in self.own]
        return {
            "all": self.all,
            "following": snapshots.short(self.following),
            "open": open_,
            "some_open": bool(open_),
            "own": [snapshots.short(xid) for xid in self.own],
        }


EVERYTHING = Fresh(following=3, all=True)
