"""The manifest: what the database holds when it is pristine, to compare it with after a restore.

It does not know how restores find out what was written, and asks for contents instead: that every table which was empty
is, that every other one has as many rows as before, of the same content, and where sequences stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile

from psycopg import sql

from pytest_pristine.isolation import baseline as baselines
from pytest_pristine.isolation.baseline import Baseline
from pytest_pristine.isolation.catalogue import MATERIALIZED_VIEW, SEQUENCE, TABLE, Relation
from pytest_pristine.postgres.connections import Connection

# Rows of a table up to which a proof in the middle of a run digests them; of a larger one it counts them.
_DIGESTED = 10_000
# Rows that a difference shows, and characters of each.
_SHOWN, _LONGEST = 3, 200
# Bytes of a table's rows up to which they are held in memory.
_IN_MEMORY = 1 << 20
# Relations that one statement asks about: planning takes longer than in proportion to their number.
_TOGETHER = 64

_EMPTY = sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM ONLY {})")
_COUNTED = sql.SQL("SELECT {} FROM (SELECT count(*) AS rows FROM ONLY {}) s WHERE rows <> {}")
_DIGEST = sql.SQL("coalesce(sum(hashtextextended(ROW(t.*)::text, 0)), 0)")
_DIGESTED_AS = sql.SQL(
    """
    SELECT {} FROM (SELECT count(*) AS rows, {} AS digest FROM ONLY {} t) s WHERE rows <> {} OR digest <> {}
    """
)
# All sequences at once: to open each as a table takes five times as long. One that was not called stands nowhere.
_STAND = sql.SQL(
    """
    SELECT oid FROM unnest({}::oid[], {}::bigint[]) AS s (oid, value)
    WHERE pg_sequence_last_value(oid) IS DISTINCT FROM value
    """
)
# All rows as they are kept, each with its text and the transaction that wrote it, the youngest first.
_WRITTEN = sql.SQL("COPY (SELECT {}ROW(t.*)::text, t.xmin::text FROM ONLY {} t ORDER BY age(t.xmin), t.ctid) TO STDOUT")


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as it was.

    Attributes:
        what: In words: "orders has 2 rows more: (1,ada), (2,bob)".
        writers: Lower halves of the ids of the transactions that wrote it, as far as its rows tell.
    """

    what: str
    writers: tuple[int, ...] = ()


@dataclass
class Manifest:
    """What the relations of a baseline hold.

    Attributes:
        baseline: The relations, their rows and positions.
        digests: A digest of the rows of each table that has some, but not too many, by oid.
    """

    baseline: Baseline
    digests: dict[int, int]

    def __post_init__(self) -> None:
        plain = [each for each in self.baseline.relations if each.kind != MATERIALIZED_VIEW and not each.hidden]
        self._queries = [query.as_bytes(None) for query in self._asking(plain)]

    @classmethod
    def record(cls, connection: Connection, baseline: Baseline) -> Manifest:
        """Take the present state."""
        digests = {}
        for table in baseline.of_kind(TABLE):
            if 0 < baseline.count(table) <= _DIGESTED and not table.hidden:
                query = sql.SQL("SELECT {} FROM ONLY {} t").format(_DIGEST, table.identifier)
                row = connection.execute(query).fetchone()
                digests[table.oid] = int(str(row and row[0]))
        return cls(baseline, digests)

    def moved_to(self, baseline: Baseline) -> Manifest:
        """The same of a database that was made anew, where relations may have other oids."""
        new = {(each.schema, each.name): each.oid for each in baseline.relations}
        names = {each.oid: (each.schema, each.name) for each in self.baseline.relations}
        return Manifest(baseline, {new[names[oid]]: digest for oid, digest in self.digests.items()})

    def differences(self, connection: Connection) -> list[Difference]:
        """What is not as it was: rows and sequences."""
        oids: set[int] = set()
        with connection.pipeline():
            answers = [connection.execute(query) for query in self._queries]
        for answer in answers:
            oids |= {int(str(row[0])) for row in answer}
        return self.told(connection, [each for each in self.baseline.relations if each.oid in oids])

    def told(self, connection: Connection, relations: Collection[Relation]) -> list[Difference]:
        """What is different about relations that are not as they were."""
        return [
            self._of_table(connection, each)
            if each.kind == TABLE
            else Difference(
                f"sequence {each} stands elsewhere" if each.kind == SEQUENCE else f"{each} holds other rows"
            )
            for each in relations
        ]

    def _of_table(self, connection: Connection, table: Relation) -> Difference:
        present = baselines.copy_out(connection, table)
        try:
            there = Counter(present)
        finally:
            present.lines.close()
        before = Counter(self.baseline.rows.get(table.oid, ()))
        new, lost = there - before, (before - there).total()
        strangers = self._strangers(connection, table, new)
        shown = ", ".join(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text, _ in strangers[:_SHOWN])
        parts = [
            *([f"{_rows(new.total())} more: {shown}"] if new else []),
            *([f"{_rows(lost)} less"] if lost else []),
        ]
        writers = sorted({int(xid) for _, xid in strangers})
        return Difference(f"{table} has {' and '.join(parts) or 'other rows'}", tuple(writers))

    def _strangers(self, connection: Connection, table: Relation, new: Counter[bytes]) -> Sequence[tuple[str, str]]:
        """The rows that do not belong, as text, each with the transaction that wrote it; of equal ones the youngest."""
        left = Counter(new)
        found: list[tuple[str, str]] = []
        if not left:
            return found
        columns = sql.SQL("").join(sql.SQL("{}, ").format(sql.Identifier(name)) for name in table.columns)
        with (
            connection.cursor() as cursor,
            cursor.copy(_WRITTEN.format(columns, table.identifier)) as copy,
            SpooledTemporaryFile(max_size=_IN_MEMORY) as lines,
        ):
            for data in copy:
                lines.write(data)
            lines.seek(0)
            for line in lines:
                # Within a field a tab is written as two characters.
                *fields, text, xid = line.rstrip(b"\n").split(b"\t")
                row = b"\t".join(fields) + b"\n"
                if left[row]:
                    left[row] -= 1
                    found.append((text.decode(), xid.decode()))
        return found

    def _asking(self, relations: Sequence[Relation]) -> Iterator[sql.Composed]:
        sequences = [each for each in relations if each.kind == SEQUENCE]
        if sequences:
            stand = [self.baseline.positions[each.oid] for each in sequences]
            yield _STAND.format(
                sql.Literal([each.oid for each in sequences]),
                sql.Literal([each.last_value if each.is_called else None for each in stand]),
            )
        for some in baselines.batches([each for each in relations if each.kind == TABLE], _TOGETHER):
            yield sql.SQL(" UNION ALL ").join(map(self._question, some))

    def _question(self, relation: Relation) -> sql.Composed:
        """A query that gives the table's oid if it is not as it was."""
        oid, name = sql.Literal(relation.oid), relation.identifier
        count = self.baseline.count(relation)
        if not count:
            return _EMPTY.format(oid, name)
        digest = self.digests.get(relation.oid)
        return (
            _COUNTED.format(oid, name, count)
            if digest is None
            else _DIGESTED_AS.format(oid, _DIGEST, name, count, digest)
        )


def _rows(number: int) -> str:
    return "a row" if number == 1 else f"{number} rows"
