"""The objects of a schema that tests can touch, and how what was observed leads to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pytest_pristine.postgres.connections import Connection
from pytest_pristine.verify.schema_coverage import queries

TABLE_WRITTEN = "table written"
TABLE_READ = "table read"
CHECK = "check"
UNIQUE = "unique"
FOREIGN_KEY = "foreign key"
NOT_NULL = "not null"
EXCLUDE = "exclude"
INDEX = "index"
FUNCTION = "function"
TRIGGER = "trigger"
ENUM_VALUE = "enum value"
KINDS = (
    TABLE_WRITTEN, TABLE_READ, CHECK, UNIQUE, FOREIGN_KEY, NOT_NULL, EXCLUDE, INDEX, FUNCTION, TRIGGER, ENUM_VALUE,
)  # fmt: skip

# Constraints by the letter that pg_constraint has for them.
_OF_LETTER = {"c": CHECK, "f": FOREIGN_KEY, "x": EXCLUDE}


@dataclass(frozen=True, slots=True)
class SchemaObject:
    """Something in the schema that tests can touch.

    Attributes:
        kind: One of KINDS.
        schema: Its schema.
        table: The table, or domain, that it belongs to, without its schema; empty where there is none.
        name: Its name, without its schema.
    """

    kind: str
    schema: str
    table: str
    name: str

    @property
    def shown_table(self) -> str:
        """Its table for people, with the schema unless that is public."""
        return _qualified(self.schema, self.table) if self.table else ""

    @property
    def shown(self) -> str:
        """Its name for people."""
        return self.name if self.table else _qualified(self.schema, self.name)

    @property
    def place(self) -> tuple[int, str, str, str]:
        """What it is sorted by: the same in every copy of a database."""
        return KINDS.index(self.kind), self.schema, self.table, self.name


def _qualified(schema: str, name: str) -> str:
    return name if schema == "public" else f"{schema}.{name}"


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger.

    Attributes:
        number: The number of its object.
        function: Oid of its function.
        relation: Oid of its table; of a partitioned one its root.
        events: The counters that its events move: `inserted`, `updated`, `deleted`.
        counts: It fires once for each row that is counted: for rows, without a condition.
    """

    number: int
    function: int
    relation: int
    events: tuple[str, ...]
    counts: bool


@dataclass(frozen=True, slots=True)
class EnumColumn:
    """A column that holds values of an enum.

    Attributes:
        relation: Oid of its table.
        schema: The table's schema.
        table: The table's name.
        column: Its name.
        type: Oid of the enum.
        is_array: It holds arrays of them.
        default: The label that it has by default; None where that is none, or is computed.
        is_stored: The table has rows of its own: it is not partitioned.
    """

    relation: int
    schema: str
    table: str
    column: str
    type: int
    is_array: bool
    default: str | None
    is_stored: bool


@dataclass(slots=True)
class Schema:
    """The objects of a schema, in their order, and the ways to them.

    Attributes:
        objects: All of them. Their numbers are their places here.
        relations: Oids of tables and materialized views whose counters are read.
        roots: The table that each of them counts as: a partition as its root.
        indexes: Oids of indexes, each with its relation.
        index_numbers: The numbers of indexes by oid, which those of partitions share with the index of their table.
        read: Numbers of `table read`, by oid.
        written: The same of `table written`.
        functions: Numbers of functions, by oid; those of triggers that belong to an extension have none.
        counted: Oids of all functions whose calls are read.
        triggers: All triggers.
        constraints: Numbers by kind, schema, table and name. Those of partitions lead to those of their table.
        not_null: Numbers by schema, table and column.
        domains: Numbers of constraints of domains by schema, domain and name; the name of NOT NULL is empty.
        labels: Numbers of the labels of enums, by the enum's oid.
        enum_columns: Where enums are stored.
        names: Oids of relations by schema and name.
        shown: Oids of relations by the name that people know them by.
        messages: Numbers by SQLSTATE and message, as the server's log has it; None where it means several.
    """

    objects: list[SchemaObject] = field(default_factory=list)
    relations: list[int] = field(default_factory=list)
    roots: dict[int, int] = field(default_factory=dict)
    indexes: dict[int, int] = field(default_factory=dict)
    index_numbers: dict[int, int] = field(default_factory=dict)
    read: dict[int, int] = field(default_factory=dict)
    written: dict[int, int] = field(default_factory=dict)
    functions: dict[int, int] = field(default_factory=dict)
    counted: list[int] = field(default_factory=list)
    triggers: list[Trigger] = field(default_factory=list)
    constraints: dict[tuple[str, str, str, str], int] = field(default_factory=dict)
    not_null: dict[tuple[str, str, str], int] = field(default_factory=dict)
    domains: dict[tuple[str, str, str], int] = field(default_factory=dict)
    labels: dict[int, dict[str, int]] = field(default_factory=dict)
    enum_columns: list[EnumColumn] = field(default_factory=list)
    names: dict[tuple[str, str], int] = field(default_factory=dict)
    messages: dict[tuple[str, str], int | None] = field(default_factory=dict)
    shown: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def called(self, shown: str) -> int | None:
        """Oid of the relation that people know by a name; None when it is none, or one of several."""
        if not self.shown:
            for names, oid in self.names.items():
                self.shown.setdefault(_qualified(*names), []).append(oid)
        found = self.shown.get(shown, [])
        return found[0] if len(found) == 1 else None


def read(connection: Connection, versions: Collection[str], *, functions: bool) -> Schema:
    """Read the objects of a database.

    Args:
        connection: To the database.
        versions: Names of tables that belong to the migrations, in whatever schema.
        functions: Calls of functions can be seen. Otherwise functions and triggers are left out.
    """
    return _Reading(connection, frozenset(versions), functions).schema()


class _Reading:
    """One reading of the catalogues. Numbers are known when all objects are: ways to them are kept until then."""

    def __init__(self, connection: Connection, versions: frozenset[str], functions: bool) -> None:  # noqa: FBT001
        self._connection = connection
        self._versions = versions
        self._with_functions = functions
        self._ways: list[tuple[dict[Any, Any], Any, SchemaObject]] = []
        self._said: list[tuple[str, str, SchemaObject]] = []
        self._tables: dict[int, tuple[str, str]] = {}

    def schema(self) -> Schema:
        schema = Schema()
        self._read_tables(schema)
        self._read_indexes(schema)
        self._read_constraints(schema)
        self._read_not_null(schema)
        self._read_domains(schema)
        triggers = self._read_functions(schema) if self._with_functions else []
        self._read_enums(schema)
        every = {found: None for _, _, found in self._ways} | {found: None for _, found in triggers}
        schema.objects = sorted(every, key=lambda found: found.place)
        numbers = {found: number for number, found in enumerate(schema.objects)}
        for where, key, found in self._ways:
            where[key] = numbers[found]
        for trigger, found in triggers:
            schema.triggers.append(Trigger(numbers[found], *trigger))
        self._note_messages(schema, numbers)
        return schema

    def _rows(self, query: str) -> Sequence[Mapping[str, Any]]:
        from psycopg.rows import dict_row  # only here

        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode()).fetchall()

    def _read_tables(self, schema: Schema) -> None:
        for row in self._rows(queries.TABLES):
            if row["root_name"] in self._versions:
                continue
            oid, root = row["oid"], row["root"]
            schema.relations.append(oid)
            schema.roots[oid] = root
            schema.names[row["schema"], row["name"]] = oid
            self._tables[oid] = row["schema"], row["name"]
            named = row["root_schema"], "", row["root_name"]
            self._ways.append((schema.read, oid, SchemaObject(TABLE_READ, *named)))
            if row["kind"] != "m":
                self._ways.append((schema.written, oid, SchemaObject(TABLE_WRITTEN, *named)))

    def _read_indexes(self, schema: Schema) -> None:
        for row in self._rows(queries.INDEXES):
            table = row["relation"]
            if table not in self._tables:
                continue
            schema.indexes[row["oid"]] = table
            root = row["root_schema"], row["root_table"], row["root_name"]
            self._ways.append((schema.index_numbers, row["oid"], SchemaObject(INDEX, *root)))
            if row["is_unique"]:
                found = SchemaObject(UNIQUE, *root)
                self._constrain(schema, found, *self._tables[table], row["name"])
                self._say("23505", f'duplicate key value violates unique constraint "{row["name"]}"', found)

    def _constrain(self, schema: Schema, found: SchemaObject, space: str, table: str, name: str) -> None:
        self._ways.append((schema.constraints, (found.kind, space, table, name), found))

    def _read_constraints(self, schema: Schema) -> None:
        for row in self._rows(queries.CONSTRAINTS):
            if row["relation"] not in self._tables:
                continue
            kind = _OF_LETTER[row["kind"]]
            found = SchemaObject(kind, row["root_schema"], row["root_table"], row["root_name"])
            space, table = self._tables[row["relation"]]
            name = row["name"]
            self._constrain(schema, found, space, table, name)
            if kind == CHECK:
                self._say("23514", f'new row for relation "{table}" violates check constraint "{name}"', found)
            elif kind == EXCLUDE:
                self._say("23P01", f'conflicting key value violates exclusion constraint "{name}"', found)
            else:
                self._say_foreign_key(found, table, name, row["referenced"] or ())

    def _say_foreign_key(self, found: SchemaObject, table: str, name: str, referenced: Sequence[str]) -> None:
        inserted = f'insert or update on table "{table}" violates foreign key constraint "{name}"'
        self._say("23503", inserted, found)
        for other in referenced:
            deleted = f'update or delete on table "{other}" violates'
            self._say("23503", f'{deleted} foreign key constraint "{name}" on table "{table}"', found)
            for state in ("23503", "23001"):
                restricted = f'{deleted} RESTRICT setting of foreign key constraint "{name}" on table "{table}"'
                self._say(state, restricted, found)

    def _read_not_null(self, schema: Schema) -> None:
        for row in self._rows(queries.NOT_NULL):
            if row["relation"] not in self._tables:
                continue
            found = SchemaObject(NOT_NULL, row["root_schema"], row["root_table"], row["column"])
            space, table = self._tables[row["relation"]]
            self._ways.append((schema.not_null, (space, table, row["column"]), found))
            said = f'null value in column "{row["column"]}" of relation "{table}" violates not-null constraint'
            self._say("23502", said, found)

    def _read_domains(self, schema: Schema) -> None:
        for row in self._rows(queries.DOMAINS):
            space, domain, name, shown = row["schema"], row["domain"], row["name"], row["shown"]
            kind = CHECK if name else NOT_NULL
            found = SchemaObject(kind, space, domain, name or domain)
            self._ways.append((schema.domains, (space, domain, name), found))
            for each in {shown, row["qualified"]}:
                if name:
                    self._say("23514", f'value for domain {each} violates check constraint "{name}"', found)
                else:
                    self._say("23502", f"domain {each} does not allow null values", found)

    def _read_functions(self, schema: Schema) -> list[tuple[tuple[Any, ...], SchemaObject]]:
        for row in self._rows(queries.FUNCTIONS):
            found = SchemaObject(FUNCTION, row["schema"], "", f"{row['name']}({row['arguments']})")
            self._ways.append((schema.functions, row["oid"], found))
            schema.counted.append(row["oid"])
        triggers = []
        for row in self._rows(queries.TRIGGERS):
            if row["relation"] not in self._tables:
                continue
            space, table = self._tables[row["relation"]]
            found = SchemaObject(TRIGGER, space, table, row["name"])
            triggers.append(((row["function"], row["relation"], tuple(row["events"]), row["counts"]), found))
            if row["function"] not in schema.counted:
                schema.counted.append(row["function"])
        return triggers

    def _read_enums(self, schema: Schema) -> None:
        for row in self._rows(queries.ENUMS):
            labels = schema.labels.setdefault(row["oid"], {})
            found = SchemaObject(ENUM_VALUE, row["schema"], "", f"{row['name']}: {row['label']}")
            self._ways.append((labels, row["label"], found))
        for row in self._rows(queries.ENUM_COLUMNS):
            if row["relation"] in self._tables:
                names = self._tables[row["relation"]]
                schema.enum_columns.append(
                    EnumColumn(
                        row["relation"], *names, row["column"], row["type"], row["is_array"], row["default"],
                        row["is_stored"],
                    )
                )  # fmt: skip

    def _say(self, state: str, message: str, found: SchemaObject) -> None:
        self._said.append((state, message, found))

    def _note_messages(self, schema: Schema, numbers: Mapping[SchemaObject, int]) -> None:
        for state, message, found in self._said:
            number = numbers[found]
            # One message for two constraints tells of neither.
            same = schema.messages.setdefault((state, message), number) == number
            schema.messages[state, message] = number if same else None
