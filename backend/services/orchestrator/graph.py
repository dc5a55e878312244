"""The graph a client submits, and the reasons to refuse it."""

import graphlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import (
    CycleError,
    DuplicateStepError,
    EmptyGraphError,
    UnknownDependencyError,
    UnknownKindError,
)


@dataclass(frozen=True)
class StepSpec:
    """One step: what to do, and the names of the steps whose results it needs."""

    name: str
    kind: str
    args: Mapping[str, Any] = field(default_factory=dict)
    after: Collection[str] = ()


@dataclass(frozen=True)
class Graph:
    """The steps of a run, in no particular order."""

    steps: Collection[StepSpec]

    def document(self) -> dict[str, Any]:
        """Return the graph as JSON that is equal for equal graphs, however they were written down."""
        return {
            "steps": {
                step.name: {"kind": step.kind, "args": dict(step.args), "after": sorted(set(step.after))}
                for step in self.steps
            }
        }

    def validate(self, kinds: Collection[str]) -> None:
        """Check everything that the database would otherwise find out halfway, or never.

        Raises:
            GraphError: one of its subclasses, for the first reason found.
        """
        if not self.steps:
            raise EmptyGraphError
        self._refuse_duplicates()
        self._refuse_unknown_names(kinds)
        self._refuse_cycles()

    def _refuse_duplicates(self) -> None:
        seen: set[str] = set()
        for step in self.steps:
            if step.name in seen:
                raise DuplicateStepError(step.name)
            seen.add(step.name)

    def _refuse_unknown_names(self, kinds: Collection[str]) -> None:
        names = {step.name for step in self.steps}
        for step in self.steps:
            if step.kind not in kinds:
                raise UnknownKindError(step.name, step.kind, kinds)
            for dependency in step.after:
                if dependency not in names:
                    raise UnknownDependencyError(step.name, dependency)

    def _refuse_cycles(self) -> None:
        try:
            graphlib.TopologicalSorter({step.name: step.after for step in self.steps}).prepare()
        except graphlib.CycleError as error:
            raise CycleError(error.args[1]) from None
