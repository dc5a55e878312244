"""What a dump and a history say, read without pytest-pristine, SQLAlchemy or Alembic."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_COPY = re.compile(r"COPY (?P<table>\S+) \(.*\) FROM stdin;")
_COPY_END = "\\."
_LINKS = ("revision", "down_revision")


@dataclass(frozen=True, slots=True)
class Dump:
    """A database as `pg_dump` wrote it.

    Attributes:
        definitions: Everything but rows: the schema, and where each sequence stands.
        rows: The rows of each table, in order of their text: a table has no order.
    """

    definitions: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]

    @property
    def filled(self) -> dict[str, int]:
        """The tables that have rows, without their schema, and how many."""
        return {table.partition(".")[2]: len(rows) for table, rows in self.rows.items() if rows}

    def changed(self, other: Dump) -> set[str]:
        """The tables whose rows differ, without their schema."""
        tables = self.rows.keys() | other.rows.keys()
        return {table.partition(".")[2] for table in tables if self.rows.get(table) != other.rows.get(table)}

    def schema(self) -> tuple[str, ...]:
        """The definitions without the positions of sequences."""
        return tuple(line for line in self.definitions if "pg_catalog.setval(" not in line)


def read_dump(path: Path) -> Dump:
    """Read a dump in SQL."""
    lines = iter(path.read_text(encoding="utf-8").splitlines())
    definitions: list[str] = []
    rows: dict[str, tuple[str, ...]] = {}
    for line in lines:
        definitions.append(line)
        if copy := _COPY.fullmatch(line):
            rows[copy["table"]] = tuple(sorted(_until_end(lines)))
    return Dump(tuple(definitions), rows)


def _until_end(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if line == _COPY_END:
            return
        yield line
    raise AssertionError("the dump ends within the rows of a table")


def history(versions: Path) -> tuple[set[str], set[str]]:
    """The revisions below a directory, and those of them on which no other builds: the heads."""
    scripts = [_assignments(path) for path in versions.rglob("*.py")]
    revisions = {str(script["revision"]) for script in scripts if "revision" in script}
    parents = [script.get("down_revision") for script in scripts]
    # A revision that merges branches has a tuple of parents.
    return revisions, revisions - {
        str(one) for each in parents for one in (each if isinstance(each, tuple) else [each])
    }


def _assignments(path: Path) -> dict[str, object]:
    """The constants that say what a script is and on what it builds."""
    found: dict[str, object] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id in _LINKS and isinstance(value, ast.Constant | ast.Tuple):
            found[target.id] = ast.literal_eval(value)
    return found
