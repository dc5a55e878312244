"""The mark that makes a database ours: its COMMENT.

A comment lives in the cluster, not in the database: it is no part of the schema under test, and it can be read and
written without connecting to the database.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

_PREFIX = "pytest-pristine: "

SCRATCH = "scratch"
TEMPLATE = "template"
LAYER = "layer"
CLONE = "clone"
TARGET = "target"
SPARE = "spare"
KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Mark:
    """What the COMMENT of a database of ours says.

    Attributes:
        kind: `scratch` (being made), `template` (sealed), `layer` (sealed, with data on top of another template),
            `spare` (a copy that waits for a run), `clone` (a worker's), `target` (one that the user named) or `kept`
            (as a failed test left it).
        run: Id of the run that leases it, or that made it.
        project: Label of the project it belongs to.
        fingerprint: Digest of what the migrations were made of when it was built; of a spare, its template's oid.
        used: When a template was used last, in UTC, as ISO 8601 has it.
        inputs: What else the migrations read, each with its digest; see `migrations.fingerprint`.
        created: The extensions that migrations created in it. What else it has, somebody installed for us.
        owner: Whose the run is: `user@host, process 4711`.
        copies: How many copies the last run made that used a template.
        since: When it was made, or kept, in UTC, as ISO 8601 has it.
        test: The test that failed in one that is kept.
        migrated: Of a template, what was found after its migrations; see `migrations.evidence`.
        below: Of a layer, the oid of the template that it stands on.
        layer: Of a worker's database, the fingerprint of the layer that it is a copy of; empty for none.
        loader: Of a layer, what loaded it, for people.
        stem: Of a template, a digest of what its history has in common with itself when it is longer; empty when
            nothing is built on it.
        footing: Of a template, what it was built of, in order; see `migrations.footing`.
        grown: Of a template that was built on another, how much was added, for people: `1 of 118 revisions`.
    """

    kind: str
    run: str
    project: str
    fingerprint: str = ""
    used: str = ""
    inputs: dict[str, str] = field(default_factory=dict)
    created: list[str] = field(default_factory=list)
    copies: int = 1
    owner: str = ""
    since: str = ""
    test: str = ""
    migrated: dict[str, Any] = field(default_factory=dict)
    below: str = ""
    layer: str = ""
    loader: str = ""
    stem: str = ""
    footing: dict[str, Any] = field(default_factory=dict)
    grown: str = ""

    def __str__(self) -> str:
        return _PREFIX + json.dumps(asdict(self), sort_keys=True)


def read(comment: str | None) -> Mark | None:
    """The mark in a COMMENT; None when it holds none of ours."""
    if comment is None or not comment.startswith(_PREFIX):
        return None
    try:
        return Mark(**json.loads(comment.removeprefix(_PREFIX)))
    except (ValueError, TypeError):
        # A mark of another format: ours all the same, but nothing in it can be relied on.
        return Mark(kind="unknown", run="", project="")
