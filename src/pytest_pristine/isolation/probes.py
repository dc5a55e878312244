"""Detecting changes by asking every relation: works on any server, for any role that can read the tables.

A table that was empty is asked whether it has a row; one that had rows, for a signature over the physical version of
each (its place and the transaction that wrote it), which every INSERT, UPDATE and DELETE changes, and for which no
content is read; a sequence, where it stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from pytest_pristine.isolation.baseline import Baseline, batches
from pytest_pristine.isolation.catalogue import MATERIALIZED_VIEW, SEQUENCE, TABLE, Relation
from pytest_pristine.isolation.changes import Changes
from pytest_pristine.postgres.connections import Connection

_SIGNATURE = sql.SQL(
    "SELECT count(*) AS rows, bit_xor(hash_record_extended(ROW(t.ctid, t.xmin), 0)) AS versions FROM ONLY {} t"
)


# What no relation has: it counts as changed.
_NO_SIGNATURE = (-1, 0)


@dataclass
class Probes:
    """Compares the present state with the one at the last mark, relation by relation.

    Attributes:
        connection: To the database under test.
        baseline: What it held when it was pristine first.
    """

    connection: Connection
    baseline: Baseline
    _signatures: dict[int, tuple[object, ...]] = field(default_factory=dict)
    _probes: list[tuple[sql.Composed, list[Relation]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        signed = [relation for relation in self.baseline.relations if self._is_signed(relation)]
        self._sign(signed)
        self._probes = [
            (sql.SQL(" UNION ALL ").join(map(self._probe, batch)), [r for r in batch if self._is_signed(r)])
            for batch in batches(self.baseline.relations)
        ]

    def changes(self) -> Changes:
        """Ask every relation; one round trip for some hundreds of them."""
        try:
            return self._ask()
        except psycopg.errors.ObjectNotInPrerequisiteState:
            # A materialized view that was emptied cannot be read. Filled again, it holds other versions of its rows.
            self._fill_views()
            return self._ask()

    def _ask(self) -> Changes:
        found: set[object] = set()
        for probe, signed in self._probes:
            parameters = [value for relation in signed for value in self._signatures[relation.oid]]
            found |= {row[0] for row in self.connection.execute(probe, parameters, prepare=True)}
        if not found:
            return Changes()
        changed = [relation for relation in self.baseline.relations if relation.oid in found]
        return Changes(*(tuple(r for r in changed if r.kind == kind) for kind in (TABLE, MATERIALIZED_VIEW, SEQUENCE)))

    def mark(self, rewritten: Mapping[Relation, int | None]) -> None:
        """Sign the relations anew: they hold new versions of the same rows."""
        self._sign([relation for relation in rewritten if self._is_signed(relation)])
        for relation, rows in rewritten.items():
            if rows is not None and self._signatures[relation.oid][0] != rows:
                self._signatures[relation.oid] = _NO_SIGNATURE

    def _fill_views(self) -> None:
        views = [view for view in self.baseline.of_kind(MATERIALIZED_VIEW) if self._is_signed(view)]
        query = "SELECT oid FROM pg_class WHERE oid = ANY(%s) AND NOT relispopulated"
        empty = {row[0] for row in self.connection.execute(query, [[view.oid for view in views]])}
        for view in views:
            if view.oid in empty:
                self.connection.execute(sql.SQL("REFRESH MATERIALIZED VIEW {}").format(view.identifier))

    def _is_signed(self, relation: Relation) -> bool:
        if relation.kind == MATERIALIZED_VIEW:
            return relation.oid not in self.baseline.unpopulated
        return relation.oid in self.baseline.rows

    def _sign(self, relations: Sequence[Relation]) -> None:
        for relation in relations:
            row = self.connection.execute(_SIGNATURE.format(relation.identifier)).fetchone()
            if row is None:
                raise AssertionError("an aggregate has one row")
            self._signatures[relation.oid] = row

    def _probe(self, relation: Relation) -> sql.Composed:
        """A query that gives the relation's oid if it changed."""
        oid = sql.Literal(relation.oid)
        name = _escaped(relation.identifier)
        if relation.kind == SEQUENCE:
            position = self.baseline.positions[relation.oid]
            return sql.SQL("SELECT {} FROM {} WHERE last_value <> {} OR is_called <> {}").format(
                oid, name, sql.Literal(position.last_value), sql.Literal(position.is_called)
            )
        if self._is_signed(relation):
            return sql.SQL(
                "SELECT {} FROM ({}) s WHERE (s.rows, s.versions) IS DISTINCT FROM (%s::bigint, %s::bigint)"
            ).format(oid, _SIGNATURE.format(name))
        if relation.kind == MATERIALIZED_VIEW:
            return sql.SQL("SELECT {0} FROM pg_class WHERE oid = {0} AND relispopulated").format(oid)
        return sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM ONLY {})").format(oid, name)


def _escaped(identifier: sql.Identifier) -> sql.SQL:
    """A name for a query that has parameters, where a percent sign means one of them unless it is doubled."""
    return sql.SQL(identifier.as_string(None).replace("%", "%%"))
