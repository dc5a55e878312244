"""How pages are put together: tables, and docstrings in Google's style as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Container, Iterable, Sequence

MADE = "<!-- made by `python3 dev.py docs --write`: change the code, not this page -->"
# The parts of a docstring that list something.
_LISTS = ("Args", "Attributes", "Raises", "Returns", "Yields")
_ENTRY = re.compile(r"^(?P<name>[\w*.]+)(?: \([^)]*\))?: (?P<text>.*)$")


class UndocumentedError(Exception):
    """Something public has no words of its own."""


def page(title: str, *blocks: str) -> str:
    """A page of the reference."""
    return "\n\n".join([MADE, f"# {title}", *filter(None, (block.strip("\n") for block in blocks))]) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. What would end a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def docstring(thing: object, name: str) -> str:
    """The docstring of something, without indentation.

    Raises:
        UndocumentedError: It has none, or only inherits one.
    """
    own = vars(thing).get("__doc__") if isinstance(thing, type) else getattr(thing, "__doc__", None)
    # The one that dataclasses make repeats the signature.
    if not own or (isinstance(thing, type) and own.startswith(f"{thing.__name__}(")):
        raise UndocumentedError(f"{name} has no docstring")
    return inspect.cleandoc(own)


def summary(thing: object, name: str) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join(docstring(thing, name).partition("\n\n")[0].split())


def markdown(text: str, only: Container[str] | None = None) -> str:
    """A docstring as Markdown: what it lists becomes lists, of those attributes alone that are given, if they are."""
    return "\n\n".join(_block(block, only) for block in re.split(r"\n\s*\n", text))


def _block(block: str, only: Container[str] | None) -> str:
    head, _, rest = block.partition("\n")
    name = head.removesuffix(":")
    if name not in _LISTS or not head.endswith(":"):
        return block
    entries = _entries(inspect.cleandoc(rest))
    if only is not None and name == "Attributes":
        entries = [entry for entry in entries if entry.partition("`")[2].partition("`")[0] in only]
    return f"*{name}*\n\n" + "\n".join(entries)


def _entries(text: str) -> list[str]:
    """The entries of a list; what is indented goes on with the one before."""
    entries: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and entries:
            entries[-1] += " " + line.strip()
            continue
        match = _ENTRY.match(line)
        if match is not None:
            entries.append(f"* `{match['name']}`: {match['text']}")
        elif entries:
            entries[-1] += " " + line.strip()
        else:
            entries.append(f"* {line}")
    return entries
