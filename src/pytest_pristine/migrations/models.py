"""The models alone: the tables that `MetaData.create_all` makes, for projects without migrations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL

from pytest_pristine.migrations import fingerprint, messages, work
from pytest_pristine.migrations.evidence import Evidence, Migrated
from pytest_pristine.migrations.fingerprint import Inputs
from pytest_pristine.migrations.messages import Task
from pytest_pristine.migrations.surroundings import Surroundings
from pytest_pristine.postgres import names

if TYPE_CHECKING:
    from sqlalchemy import MetaData

_DOUBT = "no migrations were run: the tables are those of the models"


@dataclass(frozen=True)
class Models:
    """Makes the tables of models: `Models("shop.models:Base.metadata")`. No migrations are tested then.

    Their schemas, types and sequences are made as well. Extensions have to be named.

    Attributes:
        metadata: `package.module:name` of a MetaData or of a declarative base, before it further modules that define
            models, separated by blanks; or the MetaData itself, whose tables are then made in this process.
        extensions: Extensions that are created before.
        inline: Import and make them in this process.
        root: The project's root: of pytest, when it is not given.
        limit: Seconds after which the process is ended; None for as long as it takes.
        surroundings: Those of the process for which it migrates; of this one when they are not given.
    """

    metadata: str | MetaData
    extensions: Sequence[str] = ()
    inline: bool = False
    root: Path | None = None
    limit: float | None = None
    surroundings: Surroundings | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"models: {self.metadata if isinstance(self.metadata, str) else 'MetaData'}"

    def fingerprint(self) -> str:
        """A digest of the name, or of the statements that would make the tables, where the MetaData itself is given."""
        what = [self.metadata] if isinstance(self.metadata, str) else _statements(self.metadata)
        return names.digest("models", *what, *self.extensions)

    def current(self, inputs: Inputs) -> bool:
        """Whether every module that was imported to make them is unchanged."""
        return fingerprint.unchanged(inputs, self._root())

    def migrate(self, url: URL) -> Migrated:
        """Make the tables.

        Raises:
            StepConfigError: There are no such models, or they have no tables.
            StepFailedError: The server rejects one of them.
        """
        *modules, target = self.metadata.split() if isinstance(self.metadata, str) else [str(self)]
        task = Task(
            messages.MODELS,
            target,
            str(self._root()),
            str(self._root()),
            url.render_as_string(hide_password=False),
            modules=tuple(modules),
            extensions=tuple(self.extensions),
        )
        if isinstance(self.metadata, str) and not self.inline:
            answer = work.done(task, str(self), self.limit, self.surroundings, {})
        else:
            answer = work.done_here(task, None if isinstance(self.metadata, str) else self.metadata, str(self))
        inputs = answer.inputs if isinstance(self.metadata, str) else {}
        return Migrated(inputs, Evidence(ran=[f"{self} ({answer.message})"], doubt=_DOUBT))

    def _root(self) -> Path:
        return (self.root or Path.cwd()).resolve()


def _statements(metadata: MetaData) -> list[str]:
    """What would be sent to make all of it."""
    from sqlalchemy import create_mock_engine

    sent: list[str] = []

    def note(statement: object, *_: object, **__: object) -> None:
        sent.append(str(statement if isinstance(statement, str) else statement.compile(dialect=engine.dialect)))  # type: ignore[attr-defined]

    engine = create_mock_engine("postgresql+psycopg://", note)
    metadata.create_all(engine, checkfirst=False)
    return sent
