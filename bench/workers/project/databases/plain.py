"""An engine and nothing else: no isolation, on a database that the benchmark made for each worker beforehand."""

import os
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, create_engine, make_url


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The worker's engine."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    engine = create_engine(make_url(os.environ["BENCH_SERVER"]).set(database=f"bench_{worker}"))
    yield engine
    engine.dispose()


@pytest.fixture
def database(engine: Engine) -> Engine:
    """The database, with whatever earlier tests left."""
    return engine
