"""Snapshots: which transactions had ended at a moment, and so whether anything can have been committed since.

Every transaction that writes takes an id, and `pg_current_snapshot()` says which ids are done. As long as it says the
same, nothing was committed anywhere in the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

# Ids in the columns xmin and xmax are the lower half of the full ones.
_EPOCH = 2**32

# The next id to be given: what `read` takes besides a snapshot. `age` counts from it (3 is the first normal id).
NEXT = "age('3'::xid)::bigint + 3"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions had ended.

    Attributes:
        xmax: The id that follows the last one that had ended; none from it on had.
        running: Ids below `xmax` of transactions that had not ended, in order.
        following: The id that was to be given next. Those between `xmax` and it were given, and had not ended.
    """

    xmax: int
    running: tuple[int, ...]
    following: int

    @property
    def open(self) -> tuple[int, ...]:
        """Ids of all transactions that had not ended. The running ones have no parts, which savepoints begin, in it."""
        return (*self.running, *range(self.xmax, self.following))

    def __str__(self) -> str:
        """As Postgres writes it."""
        return f"{min(self.running, default=self.xmax)}:{self.xmax}:{','.join(map(str, self.running))}"

    def following_at(self, following: int) -> int:
        """The full id of the next transaction at a later time, from the value of `NEXT` then."""
        return self.xmax + (following - self.xmax) % _EPOCH

    def after(self, own: Sequence[int]) -> Snapshot | None:
        """What is to be seen when these transactions of our own have ended, if nothing else happens in the meantime.

        Args:
            own: Ids that we took since, in order; all have ended.

        Returns:
            None when others took ids in between, so that it cannot be foretold.
        """
        later = [xid for xid in own if xid >= self.following]
        if later != list(range(self.following, self.following + len(later))):
            return None
        if not own:
            return self
        xmax = max(own[-1] + 1, self.xmax)
        following = max(self.following, xmax)
        open_ = [xid for xid in self.open if xid not in own]
        return Snapshot(xmax, tuple(xid for xid in open_ if xid < xmax), following)


def read(text: str, following: int) -> Snapshot:
    """Read a snapshot as Postgres writes it, `xmin:xmax:running,…`, with the value of `NEXT`."""
    _, xmax, running = text.split(":")
    snapshot = Snapshot(int(xmax), tuple(sorted(map(int, running.split(",")))) if running else (), int(xmax))
    # `following` has lost its upper half.
    return replace(snapshot, following=snapshot.following_at(following))


def lower(xid: int) -> int:
    """A full transaction id as the WAL has it."""
    return xid % _EPOCH


def short(xid: int) -> str:
    """A full transaction id as the columns xmin and xmax have it, for a query."""
    return str(lower(xid))
