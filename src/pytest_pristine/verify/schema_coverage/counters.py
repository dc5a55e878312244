"""The server's counters of tables, indexes and functions, and what moved between two looks at them.

Counts of a session appear when it flushes them: at its end, or else up to ten seconds late. Sessions of ours do not
count where we may switch that off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from pytest_pristine.postgres.connections import Connection
from pytest_pristine.verify.schema_coverage.objects import Schema

# What is counted of relations; indexes have scans alone.
SCANNED, INSERTED, UPDATED, DELETED = "scanned", "inserted", "updated", "deleted"
_INDEX, _CALLED = "index", "called"

_COUNTED_BY = {
    SCANNED: "pg_stat_get_numscans",
    INSERTED: "pg_stat_get_tuples_inserted",
    UPDATED: "pg_stat_get_tuples_updated",
    DELETED: "pg_stat_get_tuples_deleted",
    _INDEX: "pg_stat_get_numscans",
    _CALLED: "pg_stat_get_function_calls",
}
_ALL_OF = sql.SQL("(SELECT string_agg(coalesce({}(o), 0)::text, ',') FROM unnest({}::oid[]) o)")
# To ask what each session is takes longer than to ask which there are, which tells whether that has to be asked again:
# one that ends is replaced unseen, where they are merely counted. It is asked first: one that ends just then has told
# its counts before it is gone.
_SESSIONS = sql.SQL("""(
    SELECT string_agg(pg_stat_get_backend_pid(number)::text, ' ') FROM pg_stat_get_backend_idset() AS number
    WHERE pg_stat_get_backend_dbid(number) = (SELECT oid FROM pg_database WHERE datname = current_database())
)""")
_OTHERS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND coalesce(backend_type, 'client backend') = 'client backend'
        AND coalesce(application_name, '') NOT LIKE 'pristine: %'
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
        # Which sessions of whatever kind there were, as the server tells them.
        self._there: object = None
        oids: dict[str, Sequence[int]] = {
            **dict.fromkeys((SCANNED, INSERTED, UPDATED, DELETED), schema.relations),
            _INDEX: list(schema.indexes),
            _CALLED: schema.counted,
        }
        telling = _telling(schema)
        self._whole = self._composed(oids)
        self._most = self._composed({**oids, **dict.fromkeys((INSERTED, UPDATED, DELETED), telling)})
        self._seen: dict[str, dict[int, int]] = {name: {} for name in oids}
        self._texts: dict[str, object] = {}
        self.look(whole=True)

    def look(self, *, whole: bool) -> Moved:
        """What moved since the last look.

        A counter that went back was reset, and what it shows was counted since.

        Args:
            whole: Look at everything. Else writes are looked at where something depends on them alone, triggers and
                values of enums: which tables a test wrote to is known otherwise.
        """
        query, oids = self._whole if whole else self._most
        row = self.connection.execute(query, prepare=True).fetchone()
        if row is None:
            raise AssertionError("a SELECT without FROM has one row")
        there, *texts = row
        self._count_sessions(there)
        moved = Moved()
        for (name, some), text in zip(oids.items(), texts, strict=True):
            # As a rule most are what they were, to the letter.
            key = f"{name} {whole if name in (INSERTED, UPDATED, DELETED) else ''}"
            if self._texts.get(key) == text or text is None:
                continue
            self._texts[key] = text
            seen = self._seen[name]
            for oid, now in zip(some, map(int, str(text).split(",")), strict=True):
                then = seen.get(oid, 0)
                if now != then:
                    seen[oid] = now
                    moved.by[name][oid] = now - (then if now >= then else 0)
        return moved

    def _count_sessions(self, there: object) -> None:
        if there == self._there:
            return
        row = self.connection.execute(_OTHERS, prepare=True).fetchone()
        if row is None:
            raise AssertionError("an aggregate without GROUP BY has one row")
        self.sessions, self._there = int(str(row[0])), there

    def _composed(self, oids: Mapping[str, Sequence[int]]) -> tuple[bytes, Mapping[str, Sequence[int]]]:
        """The query, composed once: that takes longer than asking it."""
        parts = [_ALL_OF.format(sql.SQL(_COUNTED_BY[name]), _array(some)) for name, some in oids.items()]
        query = sql.SQL("SELECT ") + sql.SQL(", ").join([_SESSIONS, *parts])
        return query.as_bytes(self.connection), oids


def _telling(schema: Schema) -> Sequence[int]:
    """The tables on whose counts of writes something else depends."""
    of_triggers = {trigger.relation for trigger in schema.triggers}
    of_enums = {column.relation for column in schema.enum_columns}
    return [oid for oid in schema.relations if oid in of_enums or {oid, schema.roots.get(oid)} & of_triggers]


def _array(oids: Sequence[int]) -> sql.Literal:
    return sql.Literal(f"{{{','.join(map(str, oids))}}}")
