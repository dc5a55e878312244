"""The HTTP interface: `uvicorn --factory backend.api:create_app`."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Header, Query, Request, Response, status
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import Engine
from sqlalchemy.exc import DataError

from backend.database import database_url, make_engine
from backend.services.orchestrator import (
    EventView,
    Graph,
    GraphError,
    IllegalTransitionError,
    KeyReusedError,
    Orchestrator,
    RunNotFoundError,
    RunNotReadyError,
    RunView,
    StepSpec,
)

MAX_WAIT_S = 30

STATUS_OF_ERROR: dict[type[Exception], int] = {
    RunNotFoundError: status.HTTP_404_NOT_FOUND,
    IllegalTransitionError: status.HTTP_409_CONFLICT,
    GraphError: status.HTTP_422_UNPROCESSABLE_CONTENT,
    KeyReusedError: status.HTTP_422_UNPROCESSABLE_CONTENT,
}


class StepBody(BaseModel):
    """A step as a client writes it."""

    name: str = Field(min_length=1)
    kind: str
    args: dict[str, Any] = {}
    after: list[str] = []


class GraphBody(BaseModel):
    """A graph as a client writes it."""

    steps: list[StepBody]

    def graph(self) -> Graph:
        """Return the graph as the service takes it."""
        return Graph([StepSpec(step.name, step.kind, step.args, step.after) for step in self.steps])


def create_app(engine: Engine | None = None) -> FastAPI:
    """Make the application on the given engine, or on one of its own for `DATABASE_URL` that it disposes of."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        own = make_engine(database_url()) if engine is None else None
        # One of the two is there: `own` is made exactly when no engine is given, which mypy cannot see.
        app.state.orchestrator = Orchestrator(own or engine)  # type: ignore[arg-type]
        yield
        if own is not None:
            own.dispose()

    app = FastAPI(title="Orchestrator", lifespan=lifespan)
    for error, code in STATUS_OF_ERROR.items():
        app.add_exception_handler(error, _answer_with(code))
    app.add_exception_handler(DataError, _answer_unstorable)
    _add_routes(app)
    return app


def _answer_with(code: int) -> Callable[[Request, Exception], JSONResponse]:
    def handle(_request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"error": type(error).__name__, "detail": str(error)}, code)

    return handle


def _answer_unstorable(_request: Request, error: Exception) -> JSONResponse:
    """Answer to what Postgres cannot hold: NaN in JSON, a NUL character in a text."""
    # The whole message would show the statement.
    detail = str(getattr(error, "orig", "")).splitlines()[0]
    return JSONResponse({"error": "UnstorableError", "detail": detail}, status.HTTP_422_UNPROCESSABLE_CONTENT)


def _orchestrator(request: Request) -> Orchestrator:
    orchestrator: Orchestrator = request.app.state.orchestrator
    return orchestrator


Service = Annotated[Orchestrator, Depends(_orchestrator)]


def _add_routes(app: FastAPI) -> None:
    app.post("/runs", status_code=status.HTTP_201_CREATED)(submit)
    app.get("/runs/{run_id}")(show)
    app.get("/runs/{run_id}/events")(events)
    app.post("/runs/{run_id}/cancel")(cancel)
    app.post("/runs/{run_id}/retry")(retry)


# The handlers are plain functions, which FastAPI runs in threads: the service is synchronous.


def submit(
    body: GraphBody,
    idempotency_key: Annotated[str, Header(min_length=1)],
    response: Response,
    service: Service,
) -> RunView:
    """Submit a graph: 201 for a new run, 200 for the one that this key and content already have."""
    run, created = service.submit(idempotency_key, body.graph())
    response.headers["Location"] = f"/runs/{run.id}"
    if not created:
        response.status_code = status.HTTP_200_OK
    return run


def show(run_id: UUID, service: Service, wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0) -> RunView:
    """Show a run; with `wait_s`, as soon as it is finished but not later than that."""
    if not wait_s:
        return service.show(run_id)
    with contextlib.suppress(RunNotReadyError):
        return service.wait(run_id, wait_s)
    return service.show(run_id)


def events(run_id: UUID, service: Service) -> list[EventView]:
    """Show the journal of a run."""
    service.show(run_id)
    return service.events(run_id)


def cancel(run_id: UUID, service: Service) -> RunView:
    """Cancel a run that is not finished."""
    return service.cancel(run_id)


def retry(run_id: UUID, service: Service) -> RunView:
    """Start the failed steps of a failed run anew."""
    return service.retry(run_id)
