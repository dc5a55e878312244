"""Which values a statement gives to columns: those of VALUES and SET, and nothing that it merely asks for.

This is no parser of SQL. It knows INSERT ... VALUES and UPDATE ... SET where a value is a literal or a parameter, which
is what applications and SQLAlchemy write, and passes over all else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*|/\*.*?\*/)
    | (?P<dollar>\$(?P<tag>[A-Za-z_]\w*)?\$.*?\$(?(tag)(?P=tag))\$)
    | (?P<string>'(?:[^']|'')*')
    | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*')
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<named>%\((?P<key>[^)]*)\)s)
    | (?P<position>%s|\$\d+)
    | (?P<cast>::)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# What ends a list of assignments.
_ENDS = ("", ";", "from", "where", "returning", ")")
# How SQLAlchemy names the rows of an INSERT whose results it sorts.
_SORTED = "imp_sen"


@dataclass(frozen=True, slots=True)
class Value:
    """A value as the statement has it.

    Attributes:
        literal: Its text; None for a parameter.
        parameter: The parameter's name, or its place from 0.
    """

    literal: str | None = None
    parameter: str | int | None = None

    def among(self, parameters: object) -> object:
        """The value, with these parameters."""
        if self.literal is not None:
            return self.literal
        if isinstance(self.parameter, str):
            return parameters.get(self.parameter) if isinstance(parameters, Mapping) else None
        if isinstance(parameters, Sequence) and self.parameter is not None and self.parameter < len(parameters):
            return parameters[self.parameter]
        return None


@dataclass(slots=True)
class Assignments:
    """What a statement writes.

    Attributes:
        schema: The table's schema; None where the statement names none.
        table: The table.
        rows: How many rows it inserts; 0 for an UPDATE.
        columns: The columns that it names.
        values: Each column that is given a literal or a parameter, with that.
        defaults: Columns that it gives DEFAULT.
    """

    schema: str | None
    table: str
    rows: int = 0
    columns: set[str] = field(default_factory=set)
    values: list[tuple[str, Value]] = field(default_factory=list)
    defaults: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    value: Value | None = None


_END = _Token("end", "")


def read(statement: str) -> Assignments | None:
    """What a statement writes; None if it does not say so plainly, or may leave some of it out."""
    tokens = list(_tokens(statement))
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    reading = _Reading(tokens)
    if reading.take("insert"):
        return reading.insert()
    if reading.take("update"):
        return reading.update()
    return None


def _tokens(statement: str) -> Iterator[_Token]:
    places = 0
    for found in _TOKEN.finditer(statement):
        kind, text = str(found.lastgroup), found.group()
        if found["dollar"] is not None:
            yield _Token("other", text)
        elif found["named"] is not None:
            yield _Token("value", text, Value(parameter=found["key"]))
        elif kind == "position":
            place = places if text == "%s" else int(text[1:]) - 1
            places += text == "%s"
            yield _Token("value", text, Value(parameter=place))
        elif kind == "string":
            yield _Token("value", text, Value(literal=text[1:-1].replace("''", "'").replace("%%", "%")))
        elif kind == "quoted":
            yield _Token("name", text[1:-1].replace('""', '"').replace("%%", "%"))
        elif kind == "word":
            yield _Token("word", text.lower())
        elif kind != "space":
            yield _Token(kind, text)


class _Reading:
    """A place among the tokens of a statement."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._place = 0

    @property
    def _now(self) -> _Token:
        return self._tokens[self._place] if self._place < len(self._tokens) else _END

    def _is(self, *texts: str) -> bool:
        return self._now.kind not in ("name", "value") and self._now.text in texts

    def take(self, *texts: str) -> bool:
        """Go past one of these words, if it stands here."""
        if self._is(*texts):
            self._place += 1
            return True
        return False

    def insert(self) -> Assignments | None:
        """INSERT has been read."""
        found = self._table() if self.take("into") else None
        if found is None:
            return None
        if self.take("as"):
            self._name()
        columns = self._columns()
        if self.take("overriding"):
            self._place += 2
        while self.take("select"):
            # The list of SQLAlchemy's columns stands before its VALUES, in the same order.
            if not self._is_sorted():
                return None
        if not columns or not self.take("values"):
            return None
        found.columns.update(columns)
        while self._row(found, columns):
            found.rows += 1
            if not self.take(","):
                break
        # After ON CONFLICT it is not known which of the values were stored.
        return (
            found
            if found.rows and (self._is("", "returning") or self.take(")")) and not self._has("conflict")
            else None
        )

    def update(self) -> Assignments | None:
        """UPDATE has been read."""
        self.take("only")
        found = self._table()
        if found is None:
            return None
        if not self._is("set"):
            self.take("as")
            self._name()
        if not self.take("set"):
            return None
        while True:
            column = self._name()
            if column is not None and self.take("="):
                found.columns.add(column)
                self._value(found, column)
            self._skip()
            if not self.take(","):
                break
        return found if self._is(*_ENDS) and not self._has(";") else None

    def _has(self, text: str) -> bool:
        return any(token.text == text and token.kind in ("word", "other") for token in self._tokens[self._place :])

    def _is_sorted(self) -> bool:
        """Whether this is how SQLAlchemy inserts rows in an order; goes on to their VALUES."""
        if not any(token.text == _SORTED for token in self._tokens):
            return False
        while not self._is("values", ""):
            self._place += 1
        return True

    def _table(self) -> Assignments | None:
        first = self._name()
        if first is None:
            return None
        if not self.take("."):
            return Assignments(None, first)
        second = self._name()
        return None if second is None else Assignments(first, second)

    def _name(self) -> str | None:
        if self._now.kind not in ("name", "word"):
            return None
        self._place += 1
        return self._tokens[self._place - 1].text

    def _columns(self) -> list[str]:
        columns: list[str] = []
        if self.take("("):
            while (name := self._name()) is not None:
                columns.append(name)
                if not self.take(","):
                    break
            if not self.take(")"):
                return []
        return columns

    def _row(self, found: Assignments, columns: Sequence[str]) -> bool:
        if not self.take("("):
            return False
        number = 0
        while True:
            if number < len(columns):
                self._value(found, columns[number])
            self._skip()
            number += 1
            if not self.take(","):
                break
        return self.take(")")

    def _value(self, found: Assignments, column: str) -> None:
        """Note a value that stands by itself, whatever it is cast to."""
        begin = self._place
        value = self._now.value
        is_default = self.take("default")
        if value is not None:
            self._place += 1
            while self.take("::"):
                self._name()
                while self.take("."):
                    self._name()
        if self._is(",", *_ENDS):
            if is_default:
                found.defaults.add(column)
            elif value is not None:
                found.values.append((column, value))
        else:
            self._place = begin

    def _skip(self) -> None:
        """Go to the end of an expression."""
        depth = 0
        while self._now is not _END:
            if depth == 0 and self._is(",", *_ENDS):
                return
            depth += self._is("(", "[") - self._is(")", "]")
            self._place += 1
