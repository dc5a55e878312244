"""The errors and warnings, from their classes, and the messages, from where they are raised."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest_pristine
from docs.generate import words
from pytest_pristine import errors, warnings
from pytest_pristine.errors import PristineError

SOURCE = Path(pytest_pristine.__file__).parent
# What only a run knows.
_VALUE = "…"
_INTRODUCTION = """
Every error that a user can mend is a `PristineError`. It says what was sought, what was found instead, and what to type
or change. No part of it ever holds a password. Under pytest an error that keeps a run from beginning ends it with
[exit status 4](exit-statuses.md); one that belongs to a test fails that test. A command ends with status 1.

Below each class stand the messages as the code has them, with `…` for what only a run knows.
"""


def text() -> str:
    """The page."""
    messages: dict[str, list[str]] = {}
    for name, message in sorted(set(_messages())):
        messages.setdefault(name, []).append(message)
    return words.page(
        "Errors and warnings",
        _INTRODUCTION,
        "```text\n" + "\n".join(_tree(PristineError)) + "\n```",
        *(_section(each, messages.get(each.__name__, [])) for each in classes(PristineError)),
        "## Warnings",
        "A project makes errors of them with pytest's `filterwarnings`; see [Restoring](../restoring.md).",
        *(_section(each, [], level="###") for each in classes(warnings.PristineWarning)),
    )


def classes(base: type) -> Iterator[type]:
    """A class and those below it, as they stand in their module."""
    yield base
    each: type
    for each in base.__subclasses__():
        if each.__module__ in (errors.__name__, warnings.__name__):
            yield from classes(each)


def _tree(base: type, indent: int = 0) -> Iterator[str]:
    yield f"{'    ' * indent}{base.__name__}"
    each: type
    for each in base.__subclasses__():
        if each.__module__ == errors.__name__:
            yield from _tree(each, indent + 1)


def _section(each: type, messages: list[str], level: str = "##") -> str:
    body = words.markdown(words.docstring(each, each.__name__))
    bases = [base.__name__ for base in each.__bases__ if base.__module__ in (errors.__name__, warnings.__name__)]
    kind = "".join(f"\n\nIt is a [`{base}`](#{base.lower()})." for base in bases)
    shown = "".join(f"\n\n```text\n{message}\n```" for message in messages)
    return f"{level} {each.__name__}\n\n{body}{kind}{shown}"


def _messages() -> Iterator[tuple[str, str]]:
    """Each message in the source, with the name of its class."""
    known = {each.__name__ for each in classes(PristineError)}
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))]
    constants = _constants(trees)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (name := _name(node.func)) in known:
                sought, found, *remedy = _arguments(node, constants)
                if (sought, found) != (_VALUE, _VALUE):
                    yield name, str(PristineError(sought, found, remedy))


def _constants(trees: Sequence[ast.Module]) -> dict[str, str]:
    """Texts that modules have names for, those left out that mean several things."""
    found: dict[str, set[str]] = {}
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found.setdefault(node.targets[0].id, set()).add(_text(node.value, {}))
    return {name: next(iter(texts)) for name, texts in found.items() if len(texts) == 1}


def _name(function: ast.expr) -> str:
    return (
        function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
    )


def _arguments(call: ast.Call, constants: Mapping[str, str]) -> list[str]:
    """What was sought and found, and what to do."""
    given: dict[str, ast.expr] = dict(zip(("sought", "found", "remedy"), call.args, strict=False))
    given |= {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}
    remedy = given.get("remedy")
    lines = [_text(each, constants) for each in remedy.elts] if isinstance(remedy, ast.List | ast.Tuple) else []
    if remedy is not None and not isinstance(remedy, ast.List | ast.Tuple):
        lines = [_VALUE]
    return [*(_text(given[name], constants) if name in given else _VALUE for name in ("sought", "found")), *lines]


def _text(node: ast.expr, constants: Mapping[str, str]) -> str:
    """The text of an expression, as far as it is written there."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return inspect.cleandoc(node.value) if "\n" in node.value else node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(each, constants) for each in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, constants)
    if isinstance(node, ast.Name):
        return constants.get(node.id, _VALUE)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, constants) + _text(node.right, constants)
    return _VALUE
