"""A password in a text that somebody else wrote: a traceback, values of variables, connection strings."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from urllib.parse import quote, quote_plus

HIDDEN = "***"
# How a value that is too long to be shown is cut, and how many characters tell what was cut.
_CUT, _TELLING = "...", 4


def hide(text: str, password: str) -> str:
    """The text without the password, however it is spelt, also where what is shown was cut in the middle of it."""
    for pattern in _patterns(password):
        text = pattern.sub(HIDDEN, text)
    if _CUT in text:
        for spelling in _spellings(password):
            text = _without_ends(text, spelling)
    return text


@lru_cache
def _patterns(password: str) -> list[re.Pattern[str]]:
    return [_whole(spelling) for spelling in _spellings(password)]


@lru_cache
def _spellings(password: str) -> list[str]:
    """In itself, in a connection string, in a URL; and each of these as Python and JSON write a text that has it."""
    in_connection_string = password.replace("\\", "\\\\").replace("'", "\\'")
    in_urls = {quote(password, safe=""), quote(password, safe=" +"), quote_plus(password)}
    found = {password, in_connection_string, *in_urls}
    for text in list(found):
        # Which quotes are escaped depends on what else the text has. With both kinds in it the one has to be.
        for written in (repr(f"'\"{text}"), ascii(f"'\"{text}"), repr(f"'\"{text}".encode()).removeprefix("b")):
            with_escapes = written[4:-1]
            found |= {with_escapes, with_escapes.replace("\\'", "'"), json.dumps(text)[1:-1]}
    return sorted(found, key=len, reverse=True)


def _whole(word: str) -> re.Pattern[str]:
    """A pattern for a text that is no part of a longer word: a short password is part of many.

    A long text is broken into lines after a blank, each in quotes.
    """
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.search(r"\w$", word) else ""
    broken = re.escape(word).replace(r"\ ", r"\ (?:['\"]\s*\n\s*['\"])?")
    return re.compile(before + broken + after)


def _without_ends(text: str, spelling: str) -> str:
    """The text without what is left of a password before and after a cut."""
    parts = text.split(_CUT)
    for number in range(len(parts) - 1):
        for length in range(len(spelling) - 1, _TELLING - 1, -1):
            before, head = parts[number][:-length], parts[number][-length:]
            if head == spelling[:length] and not _is_one_word(before, head):
                parts[number] = before + HIDDEN
            tail, after = parts[number + 1][:length], parts[number + 1][length:]
            if tail == spelling[-length:] and not _is_one_word(tail, after):
                parts[number + 1] = HIDDEN + after
    return _CUT.join(parts)


def _is_one_word(left: str, right: str) -> bool:
    """Whether a word goes on from one text to the next."""
    return re.search(r"\w$", left) is not None and re.match(r"\w", right) is not None
