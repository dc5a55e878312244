"""The server's counters of tables, indexes and functions, and what moved between two looks at them.

Counts of a session appear when it flushes them: at its end, or else up to ten seconds late. Sessions of ours do not
count where we may switch that off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import sql

from pytest_pristine.postgres.connections import Connection
from pytest_pristine.verify.schema_coverage.objects import Schema

# What is counted of relations; indexes have scans alone.
SCANNED, INSERTED, UPDATED, DELETED = "scanned", "inserted", "updated", "deleted"
_INDEX, _CALLED = "index", "called"

_QUERY = """
    SELECT (SELECT string_agg(pg_stat_get_numscans(o)::text, ',') FROM unnest({tables}::oid[]) o),
           (SELECT string_agg(pg_stat_get_tuples_inserted(o)::text, ',') FROM unnest({tables}::oid[]) o),
           (SELECT string_agg(pg_stat_get_tuples_updated(o)::text, ',') FROM unnest({tables}::oid[]) o),
           (SELECT string_agg(pg_stat_get_tuples_deleted(o)::text, ',') FROM unnest({tables}::oid[]) o),
           (SELECT string_agg(pg_stat_get_numscans(o)::text, ',') FROM unnest({indexes}::oid[]) o),
           (SELECT string_agg(coalesce(pg_stat_get_function_calls(o), 0)::text, ',') FROM unnest({functions}::oid[]) o),
           (SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND coalesce(backend_type, 'client backend') = 'client backend'
              AND coalesce(application_name, '') NOT LIKE 'pristine: %')
"""


@dataclass(slots=True)
class Moved:
    """What moved between two looks: by how much, for each relation, index and function by oid.

    Attributes:
        by: By what is counted, and then by oid.
    """

    by: dict[str, dict[int, int]] = field(
        default_factory=lambda: {name: {} for name in (SCANNED, INSERTED, UPDATED, DELETED, _INDEX, _CALLED)}
    )

    def __bool__(self) -> bool:
        return any(self.by.values())

    @property
    def indexes(self) -> dict[int, int]:
        """Scans of indexes."""
        return self.by[_INDEX]

    @property
    def called(self) -> dict[int, int]:
        """Calls of functions."""
        return self.by[_CALLED]

    def add(self, other: Moved) -> None:
        """Add what moved later."""
        for name, numbers in other.by.items():
            mine = self.by[name]
            for oid, number in numbers.items():
                mine[oid] = mine.get(oid, 0) + number


class Counters:
    """Looks at the counters of one database.

    Attributes:
        connection: To the database.
        sessions: How many sessions of others were in the database at the last look.
    """

    def __init__(self, connection: Connection, schema: Schema) -> None:
        self.connection = connection
        self.sessions = 0
        self._oids: tuple[tuple[str, Sequence[int]], ...] = (
            (SCANNED, schema.relations),
            (INSERTED, schema.relations),
            (UPDATED, schema.relations),
            (DELETED, schema.relations),
            (_INDEX, list(schema.indexes)),
            (_CALLED, schema.counted),
        )
        # Composed once: that takes longer than asking it.
        self._query = (
            sql.SQL(_QUERY)
            .format(
                tables=_array(schema.relations), indexes=_array(list(schema.indexes)), functions=_array(schema.counted)
            )
            .as_bytes(connection)
        )
        self._seen = self._look()

    def look(self) -> Moved:
        """What moved since the last look.

        A counter that went back was reset, and what it shows was counted since.
        """
        before, self._seen = self._seen, self._look()
        moved = Moved()
        for (name, oids), then, now in zip(self._oids, before, self._seen, strict=True):
            if then == now or now is None:
                continue
            pairs = zip(oids, map(int, (then or "").split(",")), map(int, now.split(",")), strict=True)
            moved.by[name] = {
                oid: later - (earlier if later >= earlier else 0)
                for oid, earlier, later in pairs
                if later not in (0, earlier)
            }
        return moved

    def _look(self) -> Sequence[str | None]:
        row = self.connection.execute(self._query, prepare=True).fetchone()
        if row is None:
            raise AssertionError("a SELECT without FROM has one row")
        *seen, sessions = row
        self.sessions = int(str(sessions))
        return [None if each is None else str(each) for each in seen]


def _array(oids: Sequence[int]) -> sql.Literal:
    return sql.Literal(f"{{{','.join(map(str, oids))}}}")
