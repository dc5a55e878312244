"""report.json, its JSON Schema and the guide: they say the same."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pytest_pristine.report import writing
from pytest_pristine.report.document import Document
from tests.conftest import MAJOR
from tests.report import schema
from tests.report.synthetic import Size, document

pytestmark = pytest.mark.skipif(MAJOR != 18, reason="the report does not depend on the version: once is enough")

SIZES = (Size(), Size(tests=0, tables=0, schema=False), Size(tests=300, tables=80, failed=9, workers=4))


@pytest.fixture
def published() -> dict[str, Any]:
    """The schema that users have."""
    read: dict[str, Any] = json.loads(schema.SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(read)
    return read


def test_the_schema_is_of_the_document(published: dict[str, Any]) -> None:
    """docs/report.schema.json is what the classes of the document give: `python -m tests.report.schema` writes it."""
    assert published == schema.schema()


def test_the_guide_has_every_field() -> None:
    """The tables of docs/report.md are what the classes of the document give; each field is described."""
    assert schema.GUIDE.read_text(encoding="utf-8") == schema.guide_text()


@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_valid(size: Size, published: dict[str, Any], tmp_path: Path) -> None:
    """report.json of any run obeys the schema."""
    writing.write(document(size), tmp_path)
    jsonschema.validate(json.loads((tmp_path / "report.json").read_text()), published)


def test_a_run_without_a_server_is_valid(published: dict[str, Any]) -> None:
    """A run that came to no server obeys the schema too."""
    jsonschema.validate(json.loads(dataclasses.replace(document(Size()), server=None).as_json()), published)


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Document)])
def test_a_field_that_is_missing_is_found(name: str, published: dict[str, Any]) -> None:
    """The schema is no formality: it refuses a document without any of its fields."""
    data = json.loads(document(Size()).as_json())
    del data[name]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, published)


def test_what_is_wrong_is_found(published: dict[str, Any]) -> None:
    """The schema refuses an outcome that is none, a table without a number of rows, and a field that nobody knows."""
    for wrong in ({"outcome": "fine"}, {"wrote": [[1]]}, {"colour": "blue"}):
        data = json.loads(document(Size()).as_json())
        data["tests"][0].update(wrong)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(data, published)
