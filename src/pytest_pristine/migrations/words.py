"""How a step is written in one line: words as a shell has them, variables before them, and a place for the URL."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from sqlalchemy.engine import URL

# A variable before a command, as a shell has it.
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
# Where the URL goes. With a name, such as {url:postgresql+asyncpg}, it is for that driver.
_PLACE = re.compile(r"\{url(?::([A-Za-z0-9_+]+))?\}")
_PLAIN = "postgresql"


def split(line: str) -> list[str]:
    """The words of a line. Quotes keep blanks; a backslash is a backslash, as in paths of Windows.

    Raises:
        ValueError: A quote is not closed.
    """
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = lexer.escape = ""
    try:
        return list(lexer)
    except ValueError:
        raise ValueError("a line whose quotes are all closed") from None


def assignments(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The variables that stand before a command, and the rest."""
    variables: dict[str, str] = {}
    for number, word in enumerate(words):
        match = _ASSIGNMENT.fullmatch(word)
        if match is None:
            return variables, list(words[number:])
        variables[match[1]] = match[2]
    return variables, []


def fill(text: str, url: URL) -> str:
    """The text with the URL in its places, password included.

    Args:
        text: `{url}` stands for the URL as it is given, `{url:postgresql+asyncpg}` for the one of that driver, and
            `{url:postgresql}` for the one without any.
        url: The URL.
    """

    def rendered(match: re.Match[str]) -> str:
        driver = match[1]
        if driver is None:
            return render(url)
        full = driver if driver.startswith(_PLAIN) else f"{_PLAIN}+{driver}"
        return render(url.set(drivername=full))

    return _PLACE.sub(rendered, text)


def render(url: URL) -> str:
    """The URL as text, password included; the slashes of a socket's directory stand as such, as a query may have them.

    Many applications hand their URL to `configparser`, which takes the percent sign of `%2F` for one of its own.
    """
    before, mark, query = url.render_as_string(hide_password=False).partition("?")
    return before + mark + query.replace("%2F", "/")


def plain(url: URL) -> URL:
    """The URL without a driver: what libpq and every other program reads."""
    return url.set(drivername=_PLAIN)
