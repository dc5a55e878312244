"""What is known of a migrated database: whether it is at head, and whether the models agree with it.

It is made when a database is migrated and kept with it. Importing it costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pytest_pristine.migrations.footing import Footing

# Differences that are kept: a project without models for its tables has as many as tables.
KEPT = 20
# Characters of one difference and of a problem that are kept: they stand in the COMMENT of a database.
_DIFFERENCE = 300
_PROBLEM = 1000


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found just after the migrations.

    Attributes:
        current: The revisions that the database was at.
        heads: The revisions that none follows.
        has_head: The database was at all of the heads.
        names_models: env.py names models, with `target_metadata`.
        differences: How models and database differ, in words; the first `KEPT`.
        number: How many differences there are in all.
        config: Path of alembic.ini, from the project's root where it lies below.
        problem: Why it could not be found out, or not all of it; empty when it could.
        ran: What ran besides Alembic, each in a few words, in order.
        doubt: Why what ran besides Alembic does not tell whether the database is at head; empty when it does.
        tables: Alembic's version tables, as SQL has their names, each with the revisions that stood in it.
    """

    current: Sequence[str] = ()
    heads: Sequence[str] = ()
    has_head: bool = False
    names_models: bool = False
    differences: Sequence[str] = ()
    number: int = 0
    config: str = ""
    problem: str = ""
    ran: Sequence[str] = ()
    doubt: str = ""
    tables: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The evidence as JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Evidence | None:
        """Evidence from what `as_dict` gave; None where there is none, or another version of ours wrote it."""
        try:
            return cls(**data) if data else None
        except TypeError:
            return None

    def brief(self) -> Evidence:
        """The same, no longer than a database can keep it well."""
        return replace(
            self,
            differences=[each[:_DIFFERENCE] for each in self.differences[:KEPT]],
            problem=self.problem[:_PROBLEM],
            ran=[each[:_DIFFERENCE] for each in self.ran],
        )


class Migrated(dict[str, str]):
    """What migrations turned out to read, and the evidence and footing that they left: what `Alembic.migrate` gives.

    A migrator of a project's own that builds on `Alembic` hands it on; one that gives any other mapping tells nothing.
    """

    def __init__(self, inputs: Mapping[str, str], evidence: Evidence | None, footing: Footing | None = None) -> None:
        super().__init__(inputs)
        self.evidence = None if evidence is None else evidence.brief()
        self.footing = footing


def of(inputs: Mapping[str, str]) -> Evidence | None:
    """The evidence that comes with what a migrator gave; None where it tells nothing."""
    return inputs.evidence if isinstance(inputs, Migrated) else None


def footing_of(inputs: Mapping[str, str]) -> Footing | None:
    """The footing that comes with what a migrator gave; None where nothing may be built on it."""
    return inputs.footing if isinstance(inputs, Migrated) else None
