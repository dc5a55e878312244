"""How the texts of settings are read. Each raises ValueError with what would be right."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def text(text: str) -> str | None:
    """Some text; None when it is empty."""
    return text.strip() or None


def flag(text: str) -> bool:
    """Yes or no."""
    lowered = text.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("", "0", "false", "no", "off"):
        return False
    raise ValueError("one of true, false")


def seconds(text: str) -> float:
    """A number of seconds."""
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError("a number of seconds") from None
    if not 0 <= seconds < float("inf"):
        raise ValueError("a number of seconds, zero or more")
    return seconds


def optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """What another parser reads; None when it is empty."""
    return lambda text: parse(text) if text.strip() else None


def lines(text: str) -> tuple[str, ...]:
    """Words, on lines of their own or not."""
    return tuple(text.split())


def entries(*kinds: str, alone: str) -> Callable[[str], tuple[str, ...]]:
    """A list with an entry on each line: a kind, and after a colon what it is about.

    Args:
        kinds: The kinds that there are.
        alone: The one that may stand alone.
    """

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(line.strip() for line in text.splitlines() if line.strip())
        for line in found:
            kind, _, about = (part.strip() for part in line.partition(":"))
            if kind not in kinds or not (about or kind == alone):
                raise ValueError(f"lines of the kinds {alone}, {', '.join(f'{each}: …' for each in kinds)}")
        if not found:
            raise ValueError("one line or more")
        return found

    return parse


def number(what: str, smallest: int, largest: int, empty: T = None) -> Callable[[str], int | T]:  # type: ignore[assignment]
    """A whole number within bounds.

    Args:
        what: What it is, for the message.
        smallest: The least that it can be.
        largest: The most.
        empty: What an empty text means.
    """

    def parse(text: str) -> int | T:
        if not text.strip():
            return empty
        if not text.strip().isdecimal() or not smallest <= int(text) <= largest:
            raise ValueError(f"{what} between {smallest} and {largest}")
        return int(text)

    return parse


def percentage(text: str) -> float | None:
    """A percentage; None when it is empty."""
    if not text.strip():
        return None
    try:
        percent = float(text)
    except ValueError:
        raise ValueError("a percentage") from None
    if not 0 <= percent <= 100:  # noqa: PLR2004 - what a percentage is
        raise ValueError("a percentage between 0 and 100")
    return percent


def choice(*choices: str) -> Callable[[str], str]:
    """One of some words."""

    def parse(text: str) -> str:
        if text.strip() not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text.strip()

    return parse
