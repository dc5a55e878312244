"""A file of SQL as psql reads it: its statements, the rows after COPY, and the parts that lead up.

It is read as bytes: the server, not we, decodes it. All that matters here is ASCII.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass

# How the tools that know both ways in one file begin them: dbmate, goose, sql-migrate, rambler, node-pg-migrate.
_SECTION = re.compile(
    rb"--[ \t]*(?:migrate:|\+goose[ \t]+|\+migrate[ \t]+|rambler[ \t]+)(up|down)\b|--[ \t]*(up|down)[ \t]+migration\b",
    re.IGNORECASE,
)
# How they, sqlx and Atlas say that a file takes no transaction around it; the first is ours.
_ALONE = re.compile(
    rb"^--[ \t]*(?:pristine:[ \t]*no-transaction|no-transaction|migrate:up\b.*\btransaction:[ \t]*false"
    rb"|\+goose[ \t]+no[ \t]+transaction|\+migrate[ \t]+up\b.*\bnotransaction|atlas:txmode[ \t]+none)\b",
    re.IGNORECASE | re.MULTILINE,
)
_TOKEN = re.compile(
    rb"""
      (?P<comment>--[^\n]*)
    | (?P<block>/\*)
    | (?P<string>[eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*(?:'|\Z) | '[^']*(?:''[^']*)*(?:'|\Z) | "[^"]*(?:""[^"]*)*(?:"|\Z))
    | (?P<dollar>\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$)
    | (?P<word>[A-Za-z_\x80-\xff][\w$\x80-\xff]*)
    | (?P<end>;)
    | (?P<open>\()
    | (?P<close>\))
    | (?P<meta>\\)
    | (?P<other>\d[\w.]*|[^\s\w'"$;()\\/\x80-\xff-]+|[-/$"'])
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_BLOCK = re.compile(rb"/\*|\*/")
_COPY = re.compile(rb"copy\b.*\bfrom\s+stdin\b", re.IGNORECASE | re.DOTALL)
_END_OF_ROWS = re.compile(rb"^\\\.\r?$", re.MULTILINE)
# The beginning of a definition whose body may be statements of SQL itself, between BEGIN and END.
_WITH_BODY = re.compile(rb"create(?: or replace)? (?:function|procedure)\b")
# Words of psql's that change nothing for us: pg_dump writes the first two.
_IDLE = re.compile(rb"(?:restrict|unrestrict|echo|qecho|timing|pset|set[ \t]+ON_ERROR_\w+)\b", re.IGNORECASE)
# Words at the beginning of a statement that tell whether it is such a definition.
_TELLING = 4


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement.

    Attributes:
        text: Its text, without the semicolon.
        line: The line of the file in which it begins, from 1.
        rows: What follows it, when it is COPY FROM stdin.
        rows_line: The line in which that begins.
    """

    text: bytes
    line: int
    rows: bytes | None = None
    rows_line: int = 0


class UnreadableError(Exception):
    """A file, or a line of it, is nothing that the server could be sent."""

    def __init__(self, message: str, line: int, word: str = "") -> None:
        super().__init__(message)
        self.line = line
        self.word = word


def as_bytes(content: bytes) -> bytes:
    """The content without a byte order mark; UTF-16, as PowerShell's `>` writes it, as UTF-8.

    Raises:
        UnreadableError: It is no text.
    """
    for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        if content.startswith(mark):
            content = content.decode("utf-16").encode()
    if content.startswith(b"PGDMP"):
        raise UnreadableError("an archive of pg_dump's, and no text", 1, "PGDMP")
    if b"\0" in content:
        raise UnreadableError("no text: it has a zero byte", content.count(b"\n", 0, content.index(b"\0")) + 1)
    return content.removeprefix(codecs.BOM_UTF8)


def leads_up(text: bytes) -> bytes:
    """The text without its ways down, of which empty lines are left."""
    if _SECTION.search(text) is None:
        return text
    kept, is_up = [], True
    for line in text.splitlines(keepends=True):
        match = _SECTION.match(line)
        if match is not None:
            is_up = (match[1] or match[2]).lower() == b"up"
        kept.append(line if is_up else b"\n")
    return b"".join(kept)


def takes_no_transaction(text: bytes) -> bool:
    """Whether the file says that its statements are to be run one by one."""
    return _ALONE.search(text) is not None


def statements(text: bytes) -> Iterator[Statement]:
    """The statements of a file.

    Raises:
        UnreadableError: A word of psql's stands in it that we cannot do.
    """
    reader = _Reader(text)
    while not reader.at_end:
        found = reader.next()
        if found is not None:
            yield found


class _Inside:
    """What a place is inside of, where a semicolon ends no statement: parentheses, and bodies of functions."""

    def __init__(self) -> None:
        self._parentheses = self._bodies = 0
        self._words: list[bytes] = []

    @property
    def nothing(self) -> bool:
        """Whether it is inside of neither."""
        return not self._parentheses and not self._bodies

    def see(self, kind: str, token: bytes) -> None:
        """Go on by a token."""
        if kind == "open":
            self._parentheses += 1
        elif kind == "close":
            self._parentheses = max(self._parentheses - 1, 0)
        elif kind == "word" and not self._parentheses:
            self._see_word(token.lower())

    def _see_word(self, word: bytes) -> None:
        if len(self._words) < _TELLING:
            self._words.append(word)
        # As psql counts it: the body is of SQL, and has no other words that end so.
        if self._bodies and word in (b"begin", b"case", b"end"):
            self._bodies += -1 if word == b"end" else 1
        elif word == b"begin" and _WITH_BODY.match(b" ".join(self._words)) is not None:
            self._bodies = 1


class _Reader:
    """Reads one statement after the other, and knows how far it has come."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0
        self._counted = (0, 1)
        self.at_end = False

    def next(self) -> Statement | None:
        """The next statement; None where there is none between two semicolons, and at the end of the file."""
        start: int | None = None
        inside = _Inside()
        while (token := _TOKEN.search(self._text, self._at)) is not None:
            self._at, kind = token.end(), str(token.lastgroup)
            if self._passes(kind, token.start(), begun=start is not None):
                continue
            if kind == "end" and inside.nothing:
                return None if start is None else self._statement(start, token.start())
            start = token.start() if start is None else start
            if kind == "dollar":
                self._pass_dollar(token[0])
            inside.see(kind, token[0])
        self.at_end = True
        return None if start is None else self._statement(start, len(self._text))

    def _passes(self, kind: str, at: int, *, begun: bool) -> bool:
        """Whether something is no part of a statement; then it is passed."""
        if kind == "block":
            self._pass_block()
        elif kind == "meta":
            self._pass_word(at, begun=begun)
        return kind in ("comment", "block", "meta")

    def _statement(self, start: int, end: int) -> Statement:
        text, line = self._text[start:end], self._line(start)
        if _COPY.match(text) is None or end == len(self._text):
            return Statement(text, line)
        newline = self._text.find(b"\n", end)
        begin = len(self._text) if newline < 0 else newline + 1
        last = _END_OF_ROWS.search(self._text, begin)
        until, self._at = (len(self._text),) * 2 if last is None else (last.start(), last.end())
        return Statement(text, line, self._text[begin:until], self._line(begin))

    def _pass_block(self) -> None:
        """Pass a comment, in which there may be others."""
        depth = 1
        while depth:
            match = _IN_BLOCK.search(self._text, self._at)
            if match is None:
                self._at = len(self._text)
                return
            self._at = match.end()
            depth += 1 if match[0] == b"/*" else -1

    def _pass_dollar(self, tag: bytes) -> None:
        end = self._text.find(tag, self._at)
        self._at = len(self._text) if end < 0 else end + len(tag)

    def _pass_word(self, at: int, *, begun: bool) -> None:
        """Pass a line that psql alone would understand, if it is no matter."""
        end = self._text.find(b"\n", at)
        line = self._text[at : len(self._text) if end < 0 else end]
        if begun or _IDLE.match(line, 1) is None:
            words = line.split()
            word = words[0].decode(errors="replace")
            raise UnreadableError(f"{word} is a word of psql's, and no SQL", self._line(at), word)
        self._at = at + len(line)

    def _line(self, at: int) -> int:
        """The line of a place, counted from the one that was asked for before."""
        before, line = self._counted
        line += self._text.count(b"\n", before, at) if at >= before else -self._text.count(b"\n", at, before)
        self._counted = (at, line)
        return line
