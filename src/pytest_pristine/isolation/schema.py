"""Watching the schema: whether a test changed the catalogues, and what it changed.

Whatever a statement does to a schema inserts, updates or deletes rows of system catalogues. Their number and the
transactions that wrote them tell whether there was any such statement, for the price of a scan. Some change rows and
not the schema: TRUNCATE gives a table another file, and temporary tables come and go. Of what may be one of them the
content is compared.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from psycopg import sql

from pytest_pristine.isolation import system_catalogues
from pytest_pristine.isolation.freshness import EVERYTHING, FRESH, Fresh
from pytest_pristine.isolation.system_catalogues import PG_CLASS, SystemCatalogue
from pytest_pristine.postgres.connections import Connection

# What a person would name first, when one statement changed rows of many catalogues, and what nobody would.
_TELLING = (
    "extension", "schema", "table", "view", "materialized view", "foreign table", "sequence", "function", "column",
    "type", "constraint", "trigger", "index",
)  # fmt: skip
_UNTOLD = re.compile(r"\bpg_toast\b|RI_ConstraintTrigger_|^type .*\[\]$|^column .* of (?!table|foreign)")
# Changes named in a message.
_NAMED = 3

# What is kept of a database outside it: owner, limits, grants, settings, comment, labels. And what belongs to
# extensions, which nothing but a dependency tells, user mappings, whose catalogue only superusers may read, and
# subscriptions, of which only superusers see how they connect.
_DATABASE = """
    SELECT ROW(d.datdba, d.datconnlimit, d.datallowconn, d.datistemplate, d.dattablespace, d.datacl,
               shobj_description(d.oid, 'pg_database'))::text,
           (SELECT array_agg(ROW(s.setrole, s.setconfig)::text ORDER BY s.setrole)
            FROM pg_db_role_setting s WHERE s.setdatabase = d.oid)::text,
           (SELECT array_agg(ROW(l.provider, l.label)::text ORDER BY l.provider)
            FROM pg_shseclabel l WHERE l.classoid = 'pg_database'::regclass AND l.objoid = d.oid)::text,
           (SELECT ROW(count(*), sum(hashtextextended(e::text, 0)))::text FROM pg_depend e
            WHERE e.refclassid = 'pg_extension'::regclass),
           (SELECT ROW(count(*), sum(hashtextextended(m::text, 0)))::text FROM pg_user_mappings m),
           (SELECT array_agg(ROW({})::text ORDER BY b.oid) FROM pg_subscription b WHERE b.subdbid = d.oid)::text
    FROM pg_database d WHERE d.datname = current_database()
"""
_OF_SUBSCRIPTIONS = """
    SELECT attname::text FROM pg_attribute
    WHERE attrelid = 'pg_subscription'::regclass AND attnum > 0 AND NOT attisdropped
      AND has_column_privilege(attrelid, attnum, 'SELECT')
    ORDER BY attnum
"""
_ABOUT_DATABASE = (
    "settings, grants or comment of the database, members of an extension, a user mapping, or a subscription"
)
# Oids of the catalogues that this reads: pg_database, pg_db_role_setting, pg_shdescription, pg_shseclabel, pg_depend,
# pg_user_mapping and pg_subscription.
SHARED = frozenset({1262, 2964, 2396, 3592, 2608, 1418, 6100})

# Whether a session has something temporary of its own that has rows in catalogues without a namespace.
_TEMPORARY = """
    SELECT EXISTS (SELECT FROM pg_class WHERE relpersistence = 't')
        OR EXISTS (SELECT FROM pg_namespace n JOIN pg_type t ON t.typnamespace = n.oid WHERE n.nspname ~ '^pg_temp')
        OR EXISTS (SELECT FROM pg_namespace n JOIN pg_proc p ON p.pronamespace = n.oid
                   WHERE n.nspname ~ '^pg_temp' AND n.oid <> pg_my_temp_schema())
"""


@dataclass(frozen=True, slots=True)
class SchemaChanges:
    """What is different about the schema.

    Attributes:
        catalogues: Oids of the catalogues with rows that are not those of the baseline.
        altered: Descriptions of what is new or not as it was, the most telling first.
        moved: Oids of relations that may have other content, because they have other files.
    """

    catalogues: frozenset[int] = frozenset()
    altered: tuple[str, ...] = ()
    moved: frozenset[int] = frozenset()


@dataclass
class SchemaWatch:
    """Compares the catalogues with what they held when this was made.

    Attributes:
        connection: To the database under test; another one when that was lost.
    """

    connection: Connection
    _catalogues: dict[int, SystemCatalogue] = field(init=False)
    _totals: dict[int, int] = field(init=False)
    _counts: dict[int, int] = field(init=False)
    _lasting: dict[int, int] = field(init=False)
    _contents: dict[int, frozenset[tuple[int, int]]] = field(init=False)
    _files: dict[int, int] = field(init=False)
    _describing: bytes = field(init=False)
    _database: object = field(init=False)
    _has_temporary: bool = field(init=False)
    _glances: dict[tuple[int, ...], bytes] = field(default_factory=dict)
    _at_first: tuple[Mapping[int, int], Mapping[int, int]] = field(init=False)

    def __post_init__(self) -> None:
        self._catalogues = {catalogue.oid: catalogue for catalogue in system_catalogues.read(self.connection)}
        self._totals = {oid: total for oid, total, _ in self._glance(self._catalogues, EVERYTHING)}
        self._counts = {oid: count for oid, count, _ in self._count(self._catalogues, EVERYTHING)}
        self._lasting = dict(self._count_lasting(self._catalogues))
        self._contents = {oid: self._content(oid) for oid, each in self._catalogues.items() if each.is_compared}
        self._files = self._read_files()
        self._describing = self._composed_description()
        self._database = self._describe_database()
        self._has_temporary = self.connection.execute(_TEMPORARY).fetchone() == (True,)
        self._at_first = dict(self._totals), dict(self._counts)

    def watch_again(self, connection: Connection) -> None:
        """Watch another copy of the same template, which nobody has written to."""
        self.connection = connection
        # Temporary things have come and gone since.
        self._totals, self._counts = map(dict, self._at_first)
        self._files, self._database = self._read_files(), self._describe_database()
        self._has_temporary = connection.execute(_TEMPORARY).fetchone() == (True,)

    def changes(self, written: Collection[int | None] | None, fresh: Fresh) -> SchemaChanges:
        """What was changed.

        Args:
            written: Oids of the relations that were written to; None when any may have been.
            fresh: Which rows were written since; what we wrote ourselves never changes the schema.
        """
        if written is not None and None in written:
            # A file that is gone was that of a table that has another one now.
            written = {*written, PG_CLASS, *self._rewritten()}
        totals = {oid: total for oid, total, new in self._glance(self._suspects(written), fresh)
                  if new or total != self._totals[oid]}  # fmt: skip
        suspects = {
            oid: count for oid, count, new in self._count(totals, fresh)
            if new or count != self._counts[oid] or self._hides(oid)
        }  # fmt: skip
        changes = self._look_closer(suspects, fresh) if suspects else SchemaChanges()
        if not changes.catalogues:
            self._totals |= totals
        if (written is None or not SHARED.isdisjoint(written)) and self._describe_database() != self._database:
            return SchemaChanges(changes.catalogues | SHARED, (*changes.altered, _ABOUT_DATABASE), changes.moved)
        return changes

    def differences(self, earlier: SchemaWatch) -> tuple[str, ...]:
        """What is not as an earlier watch found it, for a database that was made anew since."""
        different = [
            f"rows of {self._catalogues[oid].name}"
            for oid, count in self._lasting.items()
            if count != earlier._lasting.get(oid)
        ]
        for oid, content in self._contents.items():
            before = earlier._contents[oid]
            # Oids tell only of a copy: migrations that ran again gave others.
            if content != before and {key for key, _ in content} == {key for key, _ in before}:
                different.append(f"contents of {self._catalogues[oid].name}")
        return tuple(different)

    def names(self, catalogues: Collection[int]) -> set[str]:
        """All objects that people made which have rows in these catalogues."""
        names: set[str] = set()
        for oid in catalogues:
            if oid in self._catalogues:
                names |= set(self._described(oid, sql.SQL("true"), {}, system_catalogues.FIRST_OF_PEOPLE))
        return names

    def _suspects(self, written: Collection[int | None] | None) -> list[int]:
        if written is None:
            return list(self._catalogues)
        return sorted(oid for oid in written if oid in self._catalogues)

    def _rewritten(self) -> set[int]:
        """Oids of the catalogues that have other files: VACUUM FULL was there, and what had been written is gone."""
        return {oid for oid, file in self._read_files().items() if file != self._files.get(oid)}

    def _read_files(self) -> dict[int, int]:
        rows = self.connection.execute(system_catalogues.FILES, prepare=True)
        return {int(str(oid)): int(str(file)) for oid, file in rows}

    def _glance(self, oids: Collection[int], fresh: Fresh) -> list[tuple[int, int, bool]]:
        """Each catalogue with the number of its rows, and whether one of them may be fresh.

        Where none is, none was added; and where none was added and the number is the same, none is gone. The query is
        prepared once it was asked a few times: where the WAL tells, all catalogues are asked about at first alone, and
        the plan would take a megabyte as long as the connection lives.
        """
        if not oids:
            return []
        rows = self.connection.execute(self._glancing(oids), {"following": fresh.parameters["following"]})
        # The oldest of the open transactions may be older than all that the youngest row was written by.
        return [(int(str(oid)), int(str(total)), bool(new or fresh.open)) for oid, total, new in rows]

    def _glancing(self, oids: Collection[int]) -> bytes:
        """The query of `_glance`, composed once for each set of catalogues: that takes as long as asking it."""
        key = tuple(oids)
        if key not in self._glances:
            query = sql.SQL(" UNION ALL ").join(
                sql.SQL("SELECT {}::oid, count(*), min(age(xmin)) <= age(%(following)s::xid) FROM {}").format(
                    sql.Literal(oid), self._catalogues[oid].identifier
                )
                for oid in oids
            )
            self._glances[key] = query.as_bytes(None)
        return self._glances[key]

    def _count(self, oids: Collection[int], fresh: Fresh) -> list[tuple[int, int, int]]:
        """Each catalogue with the number of its rows, some temporary ones left out, and of those that are fresh."""
        if not oids:
            return []
        query = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}::oid, count(*) FILTER (WHERE {}), count(*) FILTER (WHERE {}) FROM {}").format(
                sql.Literal(oid), each.in_lasting_namespace, each.fresh, each.identifier
            )
            for oid, each in ((oid, self._catalogues[oid]) for oid in oids)
        )
        rows = self.connection.execute(query, fresh.parameters)
        return [(int(str(oid)), int(str(count)), int(str(new))) for oid, count, new in rows]

    def _count_lasting(self, oids: Iterable[int]) -> list[tuple[int, int]]:
        """Each catalogue with the number of its rows, temporary things left out."""
        query = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}::oid, count(*) FROM {} WHERE {}").format(
                sql.Literal(oid), self._catalogues[oid].identifier, self._catalogues[oid].lasting
            )
            for oid in oids
        )
        return [(int(str(oid)), int(str(n))) for oid, n in self.connection.execute(query)]

    def _hides(self, oid: int) -> bool:
        """Whether rows of temporary things may have gone while others came, so that their number tells nothing."""
        return self._has_temporary and self._catalogues[oid].is_of_parents

    def _look_closer(self, suspects: Mapping[int, int], fresh: Fresh) -> SchemaChanges:
        """Tell changes of the schema from what merely looks like one.

        Args:
            suspects: Oids of catalogues, each with the number of its rows as `_count` has it.
            fresh: Which rows were written since.
        """
        changed: set[int] = {oid for oid, count in self._count_lasting(suspects) if count != self._lasting[oid]}
        moved: set[int] = set()
        altered: list[str] = []
        for oid in suspects:
            condition: sql.Composable = self._catalogues[oid].fresh
            parameters = fresh.parameters
            if self._catalogues[oid].is_compared:
                different = {key for key, _ in self._content(oid, fresh) - self._contents[oid]}
                moved |= self._fresh_objects(oid, fresh) if oid == PG_CLASS else set()
                key, lowest = self._catalogues[oid].key, sql.Literal(self._catalogues[oid].lowest)
                changed_or_low = sql.SQL("{} AND ({} = ANY (%(keys)s) OR {} < {})")
                condition = changed_or_low.format(condition, key, key, lowest)
                parameters |= {"keys": list(different)}
            found = self._described(oid, condition, parameters)
            altered += found
            if found:
                changed.add(oid)
        if not changed:
            self._counts |= suspects
            self._has_temporary = self.connection.execute(_TEMPORARY).fetchone() == (True,)
        return SchemaChanges(frozenset(changed), tuple(most_telling(altered)), frozenset(moved))

    def _described(
        self, oid: int, condition: sql.Composable, parameters: dict[str, object], lowest: int = 0
    ) -> list[str]:
        """A description of each object that has rows that meet the condition."""
        catalogue = self._catalogues[oid]
        query = sql.SQL(
            """
            SELECT pg_describe_object(class, object, part)
            FROM (SELECT DISTINCT {} FROM {} WHERE {} AND {}) AS o (class, object, part)
            WHERE object >= %(lowest)s AND part >= 0
            """
        ).format(catalogue.address, catalogue.identifier, catalogue.lasting, condition)
        rows = self.connection.execute(query, {**parameters, "lowest": lowest}).fetchall()
        prefix = "comment on " if catalogue.name == "pg_description" else ""
        return [f"{prefix}{row[0] or catalogue.name}" for row in rows]

    def _fresh_objects(self, oid: int, fresh: Fresh) -> set[int]:
        query = sql.SQL("SELECT oid FROM {} WHERE {}").format(self._catalogues[oid].identifier, FRESH)
        return {int(str(row[0])) for row in self.connection.execute(query, fresh.parameters)}

    def _content(self, oid: int, fresh: Fresh | None = None) -> frozenset[tuple[int, int]]:
        """The rows of a catalogue that are compared, or the fresh ones of them, each with a digest of its content."""
        catalogue = self._catalogues[oid]
        query = sql.SQL("SELECT {0}, {1} FROM {2} WHERE {0} >= {3} AND {4} AND {5}").format(
            catalogue.key, catalogue.content, catalogue.identifier, sql.Literal(catalogue.lowest), catalogue.lasting,
            catalogue.fresh if fresh else sql.SQL("true"),
        )  # fmt: skip
        rows = self.connection.execute(query, fresh.parameters if fresh else None, binary=True)
        return frozenset((int(str(key)), int(str(digest))) for key, digest in rows)

    def _describe_database(self) -> object:
        return self.connection.execute(self._describing, prepare=True).fetchone()

    def _composed_description(self) -> bytes:
        columns = [sql.Identifier("b", str(row[0])) for row in self.connection.execute(_OF_SUBSCRIPTIONS)]
        return sql.SQL(_DATABASE).format(sql.SQL(", ").join(columns)).as_bytes(None)


def most_telling(names: Iterable[str]) -> list[str]:
    """A few of many names, those that a person would give first."""

    def rank(name: str) -> tuple[int, str]:
        kinds = [number for number, kind in enumerate(_TELLING) if name.startswith(f"{kind} ")]
        return kinds[0] if kinds else len(_TELLING), name

    every = set(names)
    # Where nothing else can be told of, that is better than nothing.
    told = sorted({name for name in every if not _UNTOLD.search(name)} or every, key=rank)
    return told if len(told) <= _NAMED else [*told[:_NAMED], f"{len(told) - _NAMED} more"]
