"""What the project's migrations are, and whether its models agree with them: asked in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import URL

from pytest_pristine.migrations import child
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.postgres import urls

_PROCESS = "pytest_pristine.migrations.examination"
# No connection is made to read a history.
_NOWHERE = URL.create("postgresql+psycopg", host="localhost", database="none")


@dataclass(frozen=True, slots=True)
class History:
    """A history of revisions.

    Attributes:
        heads: The revisions that none follows.
        revisions: How many there are.
        problem: Why it cannot be read; empty when it can.
    """

    heads: Sequence[str] = ()
    revisions: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How models and migrations differ.

    Attributes:
        compared: env.py names models, with `target_metadata`.
        differences: What differs, each with how: ("table users", "in the models, and not in the migrations").
        problem: Why they cannot be compared; empty when they can.
    """

    compared: bool = False
    differences: Sequence[tuple[str, str]] = ()
    problem: str = ""


def history(migrations: Alembic, limit: float) -> History:
    """Read the history.

    Args:
        migrations: The project's.
        limit: Seconds it may take: revisions may import the application.

    Raises:
        AlembicConfigError: There is no configuration, or no script directory.
    """
    answer = _ask(migrations, _NOWHERE, limit)
    return History(answer.get("heads", ()), answer.get("revisions", 0), answer.get("problem", ""))


def compare(migrations: Alembic, url: URL, limit: float) -> Comparison:
    """Compare the models that env.py names with a database that is at head. The database is not changed.

    Args:
        migrations: The project's.
        url: The database.
        limit: Seconds it may take: env.py imports the application.
    """
    answer = _ask(migrations, url, limit, "--compare")
    differences = [(what, how) for what, how in answer.get("differences", ())]
    problem = urls.redact(answer.get("problem", ""), url)
    return Comparison(bool(answer.get("compared")), differences, problem)


def _ask(migrations: Alembic, url: URL, limit: float, *arguments: str) -> dict[str, Any]:
    request, variables = migrations.request(url)
    reply = child.ask(_PROCESS, request, variables, limit, *arguments)
    return {"problem": f"the process {reply.end}\n{reply.output}".strip()} if reply.answer is None else reply.answer
