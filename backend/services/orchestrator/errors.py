"""What the service refuses, and the data to say why.

OrchestratorError
 +-- GraphError             nothing was written
 |    +-- EmptyGraphError
 |    +-- DuplicateStepError
 |    +-- UnknownKindError
 |    +-- UnknownDependencyError
 |    +-- CycleError
 +-- KeyReusedError
 +-- RunNotFoundError
 +-- IllegalTransitionError
 +-- RunNotReadyError       the caller's patience ended, not the run
 +-- AttemptError           raised in a worker, for Procrastinate
      +-- StepWillRetryError
      +-- StepFailedError
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from uuid import UUID


class OrchestratorError(Exception):
    """Base of everything that this package raises on purpose."""


class GraphError(OrchestratorError):
    """The submitted graph cannot run."""


class EmptyGraphError(GraphError):
    """There is nothing to run."""

    def __init__(self) -> None:
        super().__init__("a run needs at least one step")


class DuplicateStepError(GraphError):
    """Two steps have the same name."""

    def __init__(self, step: str) -> None:
        self.step = step
        super().__init__(f"there are two steps named {step!r}")


class UnknownKindError(GraphError):
    """A step is of a kind that the registry does not have."""

    def __init__(self, step: str, kind: str, known: Iterable[str]) -> None:
        self.step = step
        self.kind = kind
        self.known = tuple(sorted(known))
        super().__init__(f"step {step!r} is of unknown kind {kind!r}; known are {', '.join(self.known)}")


class UnknownDependencyError(GraphError):
    """A step waits for one that is not in the graph."""

    def __init__(self, step: str, dependency: str) -> None:
        self.step = step
        self.dependency = dependency
        super().__init__(f"step {step!r} waits for {dependency!r}, which is not in the graph")


class CycleError(GraphError):
    """Steps wait for each other; `path` begins and ends with the same one."""

    def __init__(self, path: Sequence[str]) -> None:
        self.path = tuple(path)
        super().__init__(f"steps wait for each other: {' -> '.join(self.path)}")


class KeyReusedError(OrchestratorError):
    """The idempotency key belongs to a live run with other content."""

    def __init__(self, key: str, run_id: UUID) -> None:
        self.key = key
        self.run_id = run_id
        super().__init__(f"key {key!r} was used for other content, in run {run_id}")


class RunNotFoundError(OrchestratorError):
    """There is no such run."""

    def __init__(self, run_id: UUID) -> None:
        self.run_id = run_id
        super().__init__(f"there is no run {run_id}")


class IllegalTransitionError(OrchestratorError):
    """The state machine has no such move."""

    def __init__(self, subject: str, current: StrEnum, wanted: StrEnum) -> None:
        self.subject = subject
        self.current = current
        self.wanted = wanted
        super().__init__(f"{subject} is {current} and cannot become {wanted}")


class RunNotReadyError(OrchestratorError):
    """The run did not come to the awaited state in time; it goes on."""

    def __init__(self, run_id: UUID, timeout_s: float) -> None:
        self.run_id = run_id
        self.timeout_s = timeout_s
        super().__init__(f"run {run_id} was not there within {timeout_s:g} s")


class AttemptError(OrchestratorError):
    """An attempt at a step failed; the cause is the step's own exception."""

    def __init__(self, step_id: int) -> None:
        self.step_id = step_id
        super().__init__(f"attempt at step {step_id} failed")


class StepWillRetryError(AttemptError):
    """The step has attempts left; its job is to come back after `wait_s` seconds."""

    def __init__(self, step_id: int, wait_s: int) -> None:
        self.wait_s = wait_s
        super().__init__(step_id)


class StepFailedError(AttemptError):
    """That was the last attempt."""
