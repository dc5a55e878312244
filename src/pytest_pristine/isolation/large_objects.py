"""Large objects: those that a test made are removed, those of the baseline are watched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import sql

from pytest_pristine.postgres.connections import Connection


@dataclass
class LargeObjects:
    """Compares large objects with those that were there when this was made.

    Attributes:
        connection: To the database under test; another one when that was lost.
    """

    connection: Connection
    _known: dict[int, tuple[object, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self._known = self._describe(None)

    def new(self) -> list[int]:
        """Oids of those that were not there."""
        rows = self.connection.execute("SELECT oid FROM pg_largeobject_metadata ORDER BY oid", prepare=True)
        return [int(str(row[0])) for row in rows if row[0] not in self._known]

    def altered(self) -> list[int]:
        """Oids of those that are gone, or have another owner, other privileges or other content."""
        if not self._known:
            return []
        present = self._describe(list(self._known))
        return [oid for oid, description in self._known.items() if present.get(oid) != description]

    def same(self, other: LargeObjects) -> bool:
        """Whether there were the same ones, whatever their oids."""
        return Counter(self._known.values()) == Counter(other._known.values())

    def _describe(self, oids: Sequence[int] | None) -> dict[int, tuple[object, ...]]:
        rows = self.connection.execute(
            """
            SELECT oid, lomowner, lomacl::text, md5(lo_get(oid)) FROM pg_largeobject_metadata
            WHERE %(oids)s::oid[] IS NULL OR oid = ANY (%(oids)s)
            """,
            {"oids": oids},
        )
        return {int(str(oid)): tuple(rest) for oid, *rest in rows}


def unlink(connection: Connection, oids: Sequence[int]) -> None:
    """Remove large objects."""
    for oid in oids:
        connection.execute(sql.SQL("SELECT lo_unlink({})").format(sql.Literal(oid)))
