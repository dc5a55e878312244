"""What is known of a random schema: enough to write statements about it."""

from __future__ import annotations

from dataclasses import dataclass, field

# In the expression of a column, the number of the row.
ROW = "{g}"


def quote(name: str) -> str:
    """A name as SQL."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: Its name, quoted.
        type: Its type and what goes with it, constraints among them.
        value: An expression for the value in a row; None for one that Postgres fills.
        changeable: UPDATE may give it another value of its expression.
    """

    name: str
    type: str
    value: str | None
    changeable: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table that rows are written to.

    Attributes:
        name: Its qualified name, quoted.
        columns: Its columns.
        key: Quoted names of the columns that others refer to it by, with their types.
        parts: Qualified names of partitions or children.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[tuple[str, str], ...] = ()
    parts: tuple[str, ...] = ()

    def insert(self, first: int, rows: int, *, also: str = "") -> str:
        """The statement that inserts rows of which the numbers begin after `first`."""
        filled = [column for column in self.columns if column.value is not None]
        if not filled:
            return f"INSERT INTO {self.name} DEFAULT VALUES {also}".strip()
        names = ", ".join(column.name for column in filled)
        values = ", ".join(str(column.value).replace(ROW, "g") for column in filled)
        source = f"SELECT {values} FROM generate_series({first + 1}, {first + rows}) g"
        return f"INSERT INTO {self.name} ({names}) {source} {also}".strip()


@dataclass
class Model:
    """A schema.

    Attributes:
        ddl: The statements that make it.
        schemas: Quoted names of schemas.
        tables: Tables.
        sequences: Qualified names of sequences, those behind columns among them.
        views: Those of materialized views.
        stale: Those of materialized views that hold something else than their query gives.
        plain_views: Those of views.
        types: Those of enums.
        triggers: Tables with the names of their triggers.
        indexes: Qualified names of indexes.
        functions: Signatures of functions.
        large_objects: Oids of large objects.
        extensions: Names of extensions.
    """

    ddl: list[str] = field(default_factory=list)
    schemas: list[str] = field(default_factory=lambda: ["public"])
    tables: list[Table] = field(default_factory=list)
    sequences: list[str] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    stale: set[str] = field(default_factory=set)
    plain_views: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    triggers: list[tuple[str, str]] = field(default_factory=list)
    indexes: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    large_objects: list[int] = field(default_factory=list)
    extensions: list[str] = field(default_factory=list)
