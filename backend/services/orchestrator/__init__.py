"""Runs graphs of steps on Postgres and Procrastinate.

A run is a graph of steps. A step becomes a Procrastinate job in the transaction that makes it ready, any number of
workers take the jobs, and a client waits for the run over LISTEN/NOTIFY.
"""

from .attempts import Claim, Outcome
from .errors import (
    AttemptError,
    CycleError,
    DuplicateStepError,
    EmptyGraphError,
    GraphError,
    IllegalTransitionError,
    KeyReusedError,
    OrchestratorError,
    RunNotFoundError,
    RunNotReadyError,
    StepFailedError,
    StepWillRetryError,
    UnknownDependencyError,
    UnknownKindError,
)
from .graph import Graph, StepSpec
from .service import Orchestrator
from .tasks import RECOVER, StepCall, worker_app
from .views import EventView, RunView, StepView

__all__ = [
    "RECOVER",
    "AttemptError",
    "Claim",
    "CycleError",
    "DuplicateStepError",
    "EmptyGraphError",
    "EventView",
    "Graph",
    "GraphError",
    "IllegalTransitionError",
    "KeyReusedError",
    "Orchestrator",
    "OrchestratorError",
    "Outcome",
    "RunNotFoundError",
    "RunNotReadyError",
    "RunView",
    "StepCall",
    "StepFailedError",
    "StepSpec",
    "StepView",
    "StepWillRetryError",
    "UnknownDependencyError",
    "UnknownKindError",
    "worker_app",
]
