"""The public names of the package, from the package."""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest_pristine
from docs.generate import words
from pytest_pristine.errors import PristineError
from pytest_pristine.warnings import PristineWarning

_INTRODUCTION = """
A test suite need import nothing: fixtures come with the plugin. These names are for projects that adjust them, and for
annotations: `from pytest_pristine import Workspace`. What is not listed here is not public, and may change at any time.
"""


# Of classes whose objects are handed out: what a project may rely on. The rest is the product's own.
OFFERED = {
    "PostgresServer": (
        "version", "source", "url", "capabilities", "connections", "root", "worker", "workers", "migrations",
        "migrated_database",
    ),
    "Workspace": ("url", "template", "rebuild", "migrated"),
}  # fmt: skip


def text() -> str:
    """The page."""
    every = {name: getattr(pytest_pristine, name) for name in sorted(pytest_pristine.__all__)}
    listed = {name: each for name, each in every.items() if not _is_elsewhere(each)}
    others = [f"[`{name}`](errors.md#{name.lower()})" for name in every if name not in listed]
    rows = [[f"[`{name}`](#{name.lower()})", words.summary(each, name)] for name, each in listed.items()]
    return words.page(
        "Python",
        _INTRODUCTION,
        words.table(["name", "is"], rows),
        "Errors and warnings that have names here: " + ", ".join(others) + ".",
        *(_section(name, each) for name, each in listed.items()),
    )


def _is_elsewhere(each: object) -> bool:
    return isinstance(each, type) and issubclass(each, PristineError | PristineWarning)


def _section(name: str, each: Any) -> str:  # noqa: ANN401 - any public name
    parts = [f"## {name}", _signature(name, each), words.markdown(words.docstring(each, name), only=OFFERED.get(name))]
    if isinstance(each, type):
        parts += [f"### {name}.{member}\n\n{body}" for member, body in _members(name, each)]
    return "\n\n".join(filter(None, parts))


def _signature(name: str, each: Any) -> str:  # noqa: ANN401 - any public name
    """How it is called; nothing for what nobody calls."""
    if isinstance(each, type) and (getattr(each, "_is_protocol", False) or not _is_made_by_users(each)):
        return ""
    if not callable(each):
        return ""
    parameters = [
        str(parameter.replace(annotation=inspect.Parameter.empty, default=_shown(parameter)))
        for parameter in inspect.signature(each).parameters.values()
    ]
    line = f"{name}({', '.join(parameters)})"
    if len(line) > 90:  # noqa: PLR2004 - characters that fit on the page
        line = f"{name}(\n    " + ",\n    ".join(parameters) + ",\n)"
    return f"```python\n{line}\n```"


def _is_made_by_users(each: type) -> bool:
    """Whether a user calls the class. One whose objects are only handed out holds what only the product has."""
    if not dataclasses.is_dataclass(each):
        return "__init__" in vars(each)
    return each.__name__ not in OFFERED


class _Default:
    """A default as a signature shows it."""

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def __repr__(self) -> str:
        return self.shown


def _shown(parameter: inspect.Parameter) -> Any:  # noqa: ANN401 - as inspect has it
    """The default of a parameter. What a function makes anew each time has no text of its own."""
    default = parameter.default
    if default is inspect.Parameter.empty:
        return default
    if isinstance(default, str | tuple):
        return _Default(_quoted(default))
    is_plain = default is None or isinstance(default, bool | int | float)
    return default if is_plain else _Default("...")


def _quoted(value: Any) -> str:  # noqa: ANN401 - texts, and tuples of what has plain words
    """A text in the quotation marks that code has here, and what is not one as Python shows it."""
    if isinstance(value, tuple):
        inner = ", ".join(map(_quoted, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _members(name: str, each: type) -> Iterator[tuple[str, str]]:
    """The public methods and properties, in their order."""
    for member, thing in vars(each).items():
        if member.startswith("_") or member not in OFFERED.get(name, (member,)):
            continue
        function = thing.fget if isinstance(thing, property) else getattr(thing, "__func__", thing)
        if not inspect.isfunction(function):
            continue
        body = words.markdown(words.docstring(function, f"{name}.{member}"))
        if not isinstance(thing, property):
            drop = 0 if isinstance(thing, staticmethod) else 1
            names = [
                str(p.replace(annotation=inspect.Parameter.empty, default=_shown(p)))
                for p in list(inspect.signature(function).parameters.values())[drop:]
            ]
            body = f"```python\n{member}({', '.join(names)})\n```\n\n{body}"
        yield member, body
