"""What the project's migrations are: asked in a process of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import URL

from pytest_pristine.migrations import child
from pytest_pristine.migrations.alembic import Alembic

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
        files: The file of each revision, the oldest first.
        follows: The revisions that each one follows: none for the first, several for a merge.
    """

    heads: Sequence[str] = ()
    revisions: int = 0
    problem: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    follows: Mapping[str, Sequence[str]] = field(default_factory=dict)


def history(migrations: Alembic, limit: float) -> History:
    """Read the history.

    Args:
        migrations: The project's.
        limit: Seconds it may take: revisions may import the application.

    Raises:
        AlembicConfigError: There is no configuration, or no script directory.
    """
    answer = _ask(migrations, limit)
    return History(**answer)


def _ask(migrations: Alembic, limit: float) -> dict[str, Any]:
    request, variables = migrations.request(_NOWHERE)
    reply = child.ask(_PROCESS, request, variables, limit)
    return {"problem": f"the process {reply.end}\n{reply.output}".strip()} if reply.answer is None else reply.answer
