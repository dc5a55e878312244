"""What this project adds to the fixtures of pytest-pristine."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Protocol

import httpx
import pytest
import uvicorn
from procrastinate import App
from sqlalchemy import URL, Engine

from backend.api import create_app
from backend.database import conninfo
from backend.services.orchestrator import RECOVER, Orchestrator, worker_app
from backend.services.orchestrator.tasks import Handler
from backend.steps import HANDLERS

from .helpers import TIMEOUT_S

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _every_test_is_clean(clean_database: object) -> None:
    """Apply `clean_database` to the whole suite."""


@pytest.fixture
def orchestrator(postgres_engine: Engine) -> Orchestrator:
    """Give the service, on the shared engine."""
    return Orchestrator(postgres_engine)


@pytest.fixture(scope="session")
def server(postgres_engine: Engine) -> Iterator[str]:
    """Serve the API over HTTP, and give its address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening, ThreadPoolExecutor(1) as pool:
        # The socket listens already, so the first request waits for the server and nobody else has to.
        server = uvicorn.Server(uvicorn.Config(create_app(postgres_engine), ws="none", log_level="warning"))
        serving = pool.submit(server.run, [listening])
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        serving.result(TIMEOUT_S)


@pytest.fixture
def client(server: str) -> Iterator[httpx.Client]:
    """Give an HTTP client of the API."""
    with httpx.Client(base_url=server, timeout=TIMEOUT_S) as client:
        yield client


class Work(Protocol):
    """Runs workers in this process until they find no job; see the fixture `work`."""

    def __call__(
        self,
        handlers: Mapping[str, Handler] = ...,
        *,
        workers: int = ...,
        recover_after_s: float | None = ...,
    ) -> None:
        """Run `workers` workers; with `recover_after_s`, they first see to the jobs of silent workers."""


@pytest.fixture
def work(postgres_url: URL, orchestrator: Orchestrator) -> Work:
    """Give a function that runs workers until they find no job."""

    def work(
        handlers: Mapping[str, Handler] = HANDLERS, *, workers: int = 1, recover_after_s: float | None = None
    ) -> None:
        app = worker_app(conninfo(postgres_url), orchestrator, handlers)
        # The loop that psycopg works with on Windows too.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(_drain(app, workers, recover_after_s))

    return work


async def _drain(app: App, workers: int, recover_after_s: float | None) -> None:
    async with asyncio.timeout(TIMEOUT_S), app.open_async():
        if recover_after_s is not None:
            await app.configure_task(RECOVER).defer_async(stalled_after_s=recover_after_s)
        drained = [
            app.run_worker_async(wait=False, install_signal_handlers=False, abort_job_polling_interval=0.1)
            for _ in range(workers)
        ]
        await asyncio.gather(*drained)


@pytest.fixture
def worker_process(postgres_url: URL) -> Iterator[subprocess.Popen[bytes]]:
    """Give a worker in a process of its own, as it is run in production."""
    environment = os.environ | {
        "DATABASE_URL": postgres_url.render_as_string(hide_password=False),
        "PYTHONPATH": str(REPOSITORY),
    }
    with subprocess.Popen([sys.executable, "-m", "backend.worker"], cwd=REPOSITORY, env=environment) as process:
        yield process
        process.kill()
        process.wait(timeout=10)
