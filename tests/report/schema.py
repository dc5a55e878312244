"""The JSON Schema of report.json and the tables of docs/report.md, made from the classes of the document.

`python -m tests.report.schema` writes both anew; a test fails when they are not what it would write.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytest_pristine.report import document as module
from pytest_pristine.report.document import FORMAT, Document

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "docs/report.schema.json"
GUIDE = ROOT / "docs/report.md"
BEGIN, END = "<!-- made by tests/report/schema.py -->\n", "<!-- until here -->\n"

# Fields that hold one of a few words.
_WORDS = {
    ("CheckedItem", "state"): ["passed", "failed", "unknown"],
    ("Server", "source"): ["url", "up", "embedded", "local", "docker"],
    ("Test", "outcome"): ["passed", "failed", "error", "skipped", "xfailed", "xpassed"],
    ("SchemaObject", "kind"): [
        "table written", "table read", "check", "unique", "foreign key", "not null", "exclude", "index", "function",
        "trigger", "enum value",
    ],
}  # fmt: skip
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
}


def schema() -> dict[str, Any]:
    """The JSON Schema of report.json."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "report.json of pytest-pristine",
        **_object(Document),
        "$defs": {each.__name__: _object(each) for each in _classes() if each is not Document},
    }


def _classes() -> list[type]:
    """The classes of the document, the document itself first."""
    found = [each for each in vars(module).values() if dataclasses.is_dataclass(each) and isinstance(each, type)]
    return [Document, *(each for each in found if each is not Document)]


def _object(of: type) -> dict[str, Any]:
    hints, told = typing.get_type_hints(of), described(of)
    properties = {
        field.name: {**_value(of, field.name, hints[field.name]), "description": told[field.name]}
        for field in dataclasses.fields(of)
    }
    if of is Document:
        properties["format"]["const"] = FORMAT
    return {
        "description": _summary(of),
        "type": "object",
        "properties": properties,
        # What is written has all of them, defaults too.
        "required": list(properties),
        "additionalProperties": False,
    }


def _value(of: type, name: str, hint: Any) -> dict[str, Any]:  # noqa: ANN401 - hints are of many types
    made = _typed(hint)
    return {**made, "enum": _WORDS[of.__name__, name]} if (of.__name__, name) in _WORDS else made


def _typed(hint: Any) -> dict[str, Any]:  # noqa: ANN401 - hints are of many types
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    arguments = typing.get_args(hint)
    if isinstance(hint, types.UnionType):
        return {"anyOf": [_typed(each) for each in arguments]}
    if typing.get_origin(hint) is list:
        return {"type": "array", "items": _typed(arguments[0])}
    if typing.get_origin(hint) is tuple:
        length = len(arguments)
        items = [_typed(each) for each in arguments]
        return {"type": "array", "prefixItems": items, "minItems": length, "maxItems": length}
    return {"$ref": f"#/$defs/{hint.__name__}"}


def _summary(of: type) -> str:
    return inspect.cleandoc(of.__doc__ or "").splitlines()[0]


def described(of: type) -> dict[str, str]:
    """What the docstring of a class says of each of its attributes."""
    text = inspect.cleandoc(of.__doc__ or "").partition("Attributes:\n")[2]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, flags=re.MULTILINE)
    # JSON has another word for it.
    return {name: re.sub(r"\bNone\b", "null", " ".join(words.split())) for name, words in found}


def tables() -> str:
    """The fields in Markdown, a table for each class."""
    return "\n".join(line for each in _classes() for line in _table(each))


def _table(of: type) -> Iterator[str]:
    hints, told = typing.get_type_hints(of), described(of)
    yield f"### {of.__name__}\n"
    yield f"{_summary(of)}\n"
    yield "| field | holds | meaning |\n| --- | --- | --- |"
    for field in dataclasses.fields(of):
        yield f"| `{field.name}` | {_named(hints[field.name])} | {told[field.name]} |"
    yield ""


def _named(hint: Any) -> str:  # noqa: ANN401 - hints are of many types
    """A type as people call it who read JSON."""
    names = {str: "text", bool: "true or false", int: "whole number", float: "number", type(None): "null"}
    arguments = typing.get_args(hint)
    if hint in names:
        return names[hint]
    if isinstance(hint, types.UnionType):
        return " or ".join(_named(each) for each in arguments)
    if typing.get_origin(hint) is list:
        return f"list of {_named(arguments[0])}"
    if typing.get_origin(hint) is tuple:
        return f"[{', '.join(_named(each) for each in arguments)}]"
    return f"[{hint.__name__}](#{hint.__name__.lower()})"


def schema_text() -> str:
    """What docs/report.schema.json holds."""
    return json.dumps(schema(), indent=2) + "\n"


def guide_text() -> str:
    """What docs/report.md holds."""
    before, _, rest = GUIDE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    GUIDE.write_text(guide_text(), encoding="utf-8")
