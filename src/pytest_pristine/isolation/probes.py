"""Detecting changes by asking every relation: works on any server, for any role that owns the tables.

A table that was empty is asked whether it has a row; one that had rows, for their number and whether any was written
since; a sequence, where it stands; the system catalogues, like tables that had rows. Costs grow with the schema, not
with what was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from psycopg import sql

from pytest_pristine.isolation.baseline import Baseline, batches, populated_views
from pytest_pristine.isolation.catalogue import MATERIALIZED_VIEW, SEQUENCE, Relation
from pytest_pristine.isolation.changes import Changes, Mark, Moment
from pytest_pristine.isolation.freshness import EVERYTHING, FRESH, Fresh
from pytest_pristine.isolation.schema import SchemaWatch
from pytest_pristine.postgres.connections import Connection

# Relations asked about by one statement. It is planned anew whenever one of them has another file.
_TOGETHER = 50

# Statements of one transaction, which keeps a lock on all that it names: a server has room for some thousands.
_STATEMENTS = 4

# Statements of other kinds that are kept prepared: those that put relations back differ by what a test wrote.
_OTHERS = 256

# A query that gives the oids of relations that changed, and whether it takes the parameters of `FRESH`.
Question: TypeAlias = tuple[bytes, bool]


@dataclass
class Probes:
    """Compares the present state with the baseline, relation by relation.

    Attributes:
        connection: To the database under test.
        baseline: What it held when it was pristine.
        schema: Watches the catalogues.
    """

    connection: Connection
    baseline: Baseline
    schema: SchemaWatch
    _questions: list[Question] = field(init=False)
    _of_sequences: list[Question] = field(init=False)
    _always: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        # A view that holds no data cannot be named, and what is hidden cannot be seen.
        self._always = frozenset(relation.oid for relation in self.baseline.relations if relation.hidden)
        self._questions = self.asking(
            [each for each in self.baseline.relations if each.kind != MATERIALIZED_VIEW and not each.hidden]
        )
        self._of_sequences = self.asking(self.baseline.of_kind(SEQUENCE))
        # psycopg would have the server forget the first of many before it comes to the last.
        self.connection.prepared_max = _OTHERS + len(self._questions) + len(self._of_sequences)

    def changes(self, since: Mark, until: Moment) -> Changes:
        """Ask every relation; one round trip for some hundreds of them."""
        fresh = since.fresh(until.own)
        schema = self.schema.changes(None, fresh)
        if schema.catalogues:
            # A relation that is gone cannot be asked.
            return Changes(schema=schema)
        # What we may not see without altering the table, which a look is not worth, counts as changed.
        found = self.ask_all(fresh) | self._ask_views(fresh)
        return self.baseline.sort(found, large_objects=True)

    def sequences(self) -> Changes:
        """Ask the sequences alone: a transaction that is rolled back leaves nothing else."""
        return self.baseline.sort(self.ask(self._of_sequences, EVERYTHING), large_objects=False)

    def ask_all(self, fresh: Fresh) -> set[int]:
        """Oids of the tables and sequences that changed, or may have."""
        return self.ask(self._questions, fresh) | self._always

    def ask(self, questions: Sequence[Question], fresh: Fresh) -> set[int]:
        """Oids of the relations that changed."""
        if not questions:
            return set()  # an empty pipeline is a round trip, too
        answers = []
        with self.connection.pipeline() as pipeline:
            for number, (query, counts) in enumerate(questions, start=1):
                answers.append(self.connection.execute(query, fresh.parameters if counts else None))
                if number % _STATEMENTS == 0:
                    pipeline.sync()
        return {int(str(row[0])) for answer in answers for row in answer}

    def asking(self, relations: Sequence[Relation]) -> list[Question]:
        """The questions about some of the relations, for `ask`."""
        # psycopg looks through a query for its parameters each time that it has some.
        plain: list[Relation] = []
        counted: list[Relation] = []
        for relation in relations:
            (counted if relation.kind != SEQUENCE and self.baseline.count(relation) else plain).append(relation)
        questions = [(some, False) for some in batches(plain, _TOGETHER)] + [
            (some, True) for some in batches(counted, _TOGETHER)
        ]
        return [
            (sql.SQL(" UNION ALL ").join(self._probe(each, counts=counts) for each in some).as_bytes(None), counts)
            for some, counts in questions
        ]

    def _probe(self, relation: Relation, *, counts: bool) -> sql.Composed:
        """A query that gives the relation's oid if it changed."""
        oid = sql.Literal(relation.oid)
        if counts:
            return _COUNTED.format(oid, FRESH, relation.escaped, sql.Literal(self.baseline.count(relation)))
        if relation.kind == SEQUENCE:
            position = self.baseline.positions[relation.oid]
            return _STANDS.format(oid, relation.identifier, position.last_value, position.is_called)
        return sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM ONLY {})").format(oid, relation.identifier)

    def _ask_views(self, fresh: Fresh) -> set[int]:
        """Oids of the materialized views that are filled and were not, or the reverse, or hold other rows."""
        views = self.baseline.of_kind(MATERIALIZED_VIEW)
        if not views:
            return set()
        filled = populated_views(self.connection, views)
        found = {view.oid for view in views if (view.oid in filled) != (self.baseline.views[view.oid] is not None)}
        same = [view for view in views if view.oid in filled and view.oid not in found]
        return found | self.ask(self.asking(same), fresh)


# One that has numbers logged ahead stands where it stood by chance, and would go on unseen.
_STANDS = sql.SQL("SELECT {} FROM {} WHERE last_value <> {} OR is_called <> {} OR log_cnt <> 0")
_COUNTED = sql.SQL(
    """
    SELECT {} FROM (SELECT count(*) AS rows, count(*) FILTER (WHERE {}) AS written FROM ONLY {}) s
    WHERE rows <> {} OR written > 0
    """
)
