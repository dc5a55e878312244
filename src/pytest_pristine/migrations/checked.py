"""A history that is checked, with the steps that stand before it: what it is applied to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine.errors import MigrationCheckError
from pytest_pristine.migrations import evidence, steps
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.evidence import Evidence
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.migrations.steps import Steps
from pytest_pristine.settings.exports import Export

# What whoever runs the checks as tests can do where it is not known which history is meant.
GIVE = "have the fixture checked_migrations give it: Alembic(…), or Steps(…, Alembic(…)) with what is run before it"


@dataclass(frozen=True, slots=True)
class Checked:
    """A history, and what an empty database is given before.

    Attributes:
        history: The history.
        before: The steps that stand before it.
    """

    history: Alembic
    before: tuple[Migrator, ...] = ()

    @classmethod
    def of(cls, migrations: Migrator, root: Path | None = None, exports: tuple[Export, ...] = ()) -> Checked:
        """The last history among some steps, with those before it; those after it are left out.

        Args:
            migrations: The steps, or the history alone.
            root: The project's root, for steps that were given none.
            exports: Variables that name the database to the application, for steps that were given none.

        Raises:
            MigrationCheckError: There is no history among them.
        """
        every = steps.flat(migrations if root is None else steps.placed(migrations, root, exports=exports))
        places = [place for place, step in enumerate(every) if isinstance(step, Alembic)]
        if not places:
            raise none_or_several([])
        last = every[places[-1]]
        assert isinstance(last, Alembic)  # noqa: S101 - for the type
        return cls(last, tuple(every[: places[-1]]))

    def prepare(self, url: URL) -> None:
        """Give an empty database what the steps before the history make.

        Raises:
            MigrationError: One failed.
        """
        for step in self.before:
            step.migrate(url)

    def migrate(self, url: URL) -> Evidence | None:
        """Bring a database that was prepared to head; gives what was found of it.

        Raises:
            MigrationError: It failed.
        """
        return evidence.of(self.history.migrate(url))

    def nothing_left(self) -> MigrationCheckError:
        """The error that there is no revision to look at: the steps before the history bring a database to head."""
        made = "\n".join(f"  {step}" for step in self.before)
        return MigrationCheckError(
            f"revisions of {self.history.config} to apply to what the steps before it make",
            f"none is left: the database is at head by then, made by\n{made}",
            [
                "leave this check out: import the others by name",
                "or, if the history begins with an empty database: have the fixture checked_migrations give Alembic(…)",
            ],
        )


def of_project(migrations: Migrator) -> Steps | Alembic:
    """What of a project's steps is checked: its one history, and the steps before it.

    Raises:
        MigrationCheckError: There is no history, or there are several.
    """
    every = steps.flat(migrations)
    found = [step for step in every if isinstance(step, Alembic)]
    if len(found) != 1:
        raise none_or_several(found)
    before = every[: every.index(found[0])]
    return Steps(*before, found[0]) if before else found[0]


def none_or_several(found: list[Alembic], remedy: str = GIVE) -> MigrationCheckError:
    """The error that it is not known which history is meant.

    Args:
        found: Those that there are.
        remedy: What to do.
    """
    return MigrationCheckError(
        "one history of Alembic among the steps of pristine_migrations",
        "none" if not found else ", ".join(map(str, found)),
        [remedy],
    )
