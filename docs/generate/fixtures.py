"""The fixtures, from the plugin."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from _pytest.fixtures import FixtureFunctionDefinition

import pytest_pristine
from docs.generate import words
from pytest_pristine import plugin

_WRAPPED = re.compile(r"^(?:Async)?(?:Iterator|Generator)\[(.*)\]$")


def text() -> str:
    """The page."""
    found = dict(fixtures())
    rows = [[f"[`{name}`](#{name})", scope(each), _given(each), _says(name, each)] for name, each in found.items()]
    return words.page(
        "Fixtures",
        "All come with the plugin; nothing need be imported. Each is a seam: a project that wants one to be different "
        "overrides it in its `conftest.py`.",
        words.table(["fixture", "scope", "gives", ""], rows),
        *(_section(name, each, found) for name, each in found.items()),
    )


def fixtures() -> Iterator[tuple[str, FixtureFunctionDefinition]]:
    """The public fixtures, as they stand in the source: one may say that it is "the same" as the one before."""
    found = [
        (name, thing)
        for name, thing in vars(plugin).items()
        if isinstance(thing, FixtureFunctionDefinition) and not name.startswith("_")
    ]
    yield from sorted(found, key=lambda each: _place(each[1]))


def _place(fixture: FixtureFunctionDefinition) -> tuple[bool, str, int]:
    """Where it stands; the module that is named after fixtures comes first."""
    code = _function(fixture).__code__
    return not code.co_filename.endswith("fixtures.py"), code.co_filename, code.co_firstlineno


def scope(fixture: Any) -> str:  # noqa: ANN401 - pytest's own type, of which nothing is public
    """How long one lives."""
    return str(fixture._fixture_function_marker.scope)  # noqa: SLF001 - nothing public tells


def _function(fixture: FixtureFunctionDefinition) -> Any:  # noqa: ANN401 - any function
    return fixture._get_wrapped_function()  # noqa: SLF001 - nothing public gives it


def _says(name: str, fixture: FixtureFunctionDefinition) -> str:
    return words.summary(_function(fixture), f"the fixture {name}")


def _given(fixture: FixtureFunctionDefinition) -> str:
    """What it gives, as the annotation has it."""
    annotation = str(inspect.signature(_function(fixture)).return_annotation)
    match = _WRAPPED.match(annotation)
    given = match[1].partition(", ")[0] if match and "Generator" in annotation else match[1] if match else annotation
    if given == "None":
        return "nothing"
    return f"[`{given}`](python.md#{given.lower()})" if given in pytest_pristine.__all__ else f"`{given}`"


def _section(name: str, fixture: FixtureFunctionDefinition, found: dict[str, FixtureFunctionDefinition]) -> str:
    function = _function(fixture)
    asked = [each for each in inspect.signature(function).parameters if each in found]
    parts = [f"Scope: {scope(fixture)}. Gives {_given(fixture)}."]
    if asked:
        parts.append("It asks for " + ", ".join(f"[`{each}`](#{each})" for each in asked) + ".")
    body = words.markdown(words.docstring(function, f"the fixture {name}"))
    return f"## {name}\n\n{body}\n\n{' '.join(parts)}"
