"""The footing: what of a history a template was built of, as far as the rest of a longer history may be applied to it.

It is found while the revisions run and kept with the template. Importing it costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

# Characters of one doubt that are kept: they stand in the COMMENT of a database.
_DOUBT = 200


@dataclass(frozen=True, slots=True)
class Footing:
    """What a template stands on.

    Attributes:
        applied: The revisions in the order in which they ran, each with the name that its file has among the inputs.
        bound: What revisions did may depend on the modules of the application, not on their own files alone.
        fixed: Inputs besides the revisions that decided what these did, whether `bound` or not: env.py, what was read.
        listed: Directories, as they are called among the inputs, in which Alembic alone looked for revisions.
        facts: A digest of what revisions found when they began: session, version table, naming convention.
        outside: Statements of env.py's own that did more than look.
        doubts: Why nothing may be built on it; empty when something may.
    """

    applied: Sequence[Sequence[str]] = ()
    bound: bool = True
    fixed: Sequence[str] = ()
    listed: Sequence[str] = ()
    facts: str = ""
    outside: Sequence[str] = ()
    doubts: Sequence[str] = field(default_factory=list)

    @property
    def revisions(self) -> list[str]:
        """The revisions, in the order in which they ran."""
        return [revision for revision, _ in self.applied]

    def as_dict(self) -> dict[str, Any]:
        """The footing as JSON has it."""
        return {**asdict(self), "doubts": [each[:_DOUBT] for each in self.doubts]}

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> Footing | None:
        """A footing from what `as_dict` gave; None where there is none, or another version of ours wrote it."""
        try:
            return cls(**data) if data else None
        except TypeError:
            return None
