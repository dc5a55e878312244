"""What tests of templates share: a migrator without Alembic, and projects whose names nobody else has."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL

from pytest_pristine.postgres import connections, databases, marks
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.templates.run import Run
from pytest_pristine.templates.workspace import Workspace
from tests.conftest import DEADLINE, Server, clean_environment

ROOT = Path(__file__).parents[2]


@dataclass
class Schema:
    """A migrator that executes SQL, and counts how often it was asked to.

    Attributes:
        ddl: What it executes; it is the fingerprint.
        inputs: What it says that it read.
        now: What those inputs are at present.
    """

    ddl: str
    inputs: dict[str, str] = field(default_factory=dict)
    now: dict[str, str] | None = None
    runs: int = 0

    def fingerprint(self) -> str:
        """The statements themselves."""
        return self.ddl

    def migrate(self, url: URL) -> Mapping[str, str]:
        """Execute them."""
        self.runs += 1
        text = url.set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(text, autocommit=True) as connection:
            connection.execute(self.ddl)  # type: ignore[call-overload]
        return dict(self.inputs)

    def current(self, inputs: Mapping[str, str]) -> bool:
        """Whether the inputs are as they are now."""
        return dict(inputs) == (self.inputs if self.now is None else self.now)


@dataclass(frozen=True)
class Templates:
    """One project's templates on the server.

    Attributes:
        server: The server.
        project: The project's name.
    """

    server: Server
    project: str

    def lease(
        self, migrator: object, target: str | None = None, **options: object
    ) -> AbstractContextManager[Workspace]:
        """A migrated database, as a run gets it: the resolver has marked an empty target as ours."""
        self.claim(target)
        session = str(options.pop("session", secrets.token_hex(4)))
        where: URL = options.pop("url", self.server.url)  # type: ignore[assignment]
        run = Run(where, target, project=self.project, session=session)
        return run.lease(migrator, str(options.pop("worker", "main")), **options)  # type: ignore[arg-type]

    def claim(self, target: str | None) -> None:
        """Mark a database that the user named, as the resolver does."""
        with connections.connect(self.server.url, "claim") as connection:
            if target is not None and databases.find(connection, target) is None:
                databases.set_mark(connection, target, Mark(marks.TARGET, "", ""))

    def names(self, kind: str) -> list[str]:
        """The databases of this project that are marked as of a kind, oldest first, in the words of psql."""
        return self.server.ask(
            "SELECT datname FROM pg_database WHERE shobj_description(oid, 'pg_database')"
            f' LIKE \'%"kind": "{kind}"%"project": "{self.project}"%\' ORDER BY oid'
        ).split()

    def all(self) -> list[str]:
        """All databases of this project, of whatever kind."""
        return self.names("%")

    def drop(self) -> None:
        """Drop all of it."""
        with self.server.connect() as client:
            for name in self.all():
                client.execute(f'ALTER DATABASE "{name}" IS_TEMPLATE false')  # type: ignore[call-overload]
                client.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[call-overload]

    def start(self, ddl: str, work: str, log: Path, target: str | None = None) -> subprocess.Popen[str]:
        """Start a process that leases a database and does some work in it.

        Args:
            ddl: The schema.
            work: Python, run with the lease held; `workspace` is the database's URL.
            log: A file to which every migration appends a line when it begins.
            target: A database that the user named.
        """
        self.claim(target)
        url = self.server.url.render_as_string(hide_password=False)
        script = f"""
import sys, time
from sqlalchemy.engine import make_url
from pytest_pristine.templates.run import Run
from tests.templates.conftest import Schema

class Logged(Schema):
    def migrate(self, url):
        with open({str(log)!r}, "a") as log:
            log.write(url.database + chr(10))
        return super().migrate(url)

run = Run(make_url({url!r}), {target!r}, project={self.project!r}, session={secrets.token_hex(4)!r})
with run.lease(Logged({ddl!r}), "main") as workspace:
    print("in", workspace.url.database, flush=True)
    {work}
"""
        path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
        return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=clean_environment(PYTHONPATH=path),
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip


def until(condition: Callable[[], object]) -> None:
    """Wait for something to happen."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def entered(process: subprocess.Popen[str]) -> str:
    """Wait until a process holds its lease; gives the database's name."""
    assert process.stdout is not None
    word, _, name = process.stdout.readline().strip().partition(" ")
    assert word == "in", f"the process ended with {process.wait()}"
    return name


@pytest.fixture
def templates(server: Server) -> Iterator[Templates]:
    """The templates of a project of its own; all of it is dropped afterwards."""
    made = Templates(server, f"p{secrets.token_hex(4)}")
    yield made
    made.drop()
