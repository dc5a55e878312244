"""Several migrators, run in order on one database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine.migrations import evidence
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.call import Call
from pytest_pristine.migrations.command import Command
from pytest_pristine.migrations.evidence import KEPT, Evidence, Migrated
from pytest_pristine.migrations.fingerprint import Inputs
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.migrations.models import Models
from pytest_pristine.migrations.sql_files import SqlFiles
from pytest_pristine.migrations.surroundings import Surroundings
from pytest_pristine.postgres import names
from pytest_pristine.settings.exports import Export

# Between the number of a step and the name of what it read.
_OF = " "


@dataclass(frozen=True, init=False)
class Steps:
    """Runs migrators one after the other: `Steps(Alembic("alembic.ini"), SqlFiles("seeds"))`.

    Attributes:
        steps: The migrators.
    """

    steps: tuple[Migrator, ...]

    def __init__(self, *steps: Migrator) -> None:
        object.__setattr__(self, "steps", steps)

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))

    def fingerprint(self) -> str:
        """A digest of those of the steps."""
        return names.digest("steps", *(step.fingerprint() for step in self.steps))

    def current(self, inputs: Inputs) -> bool:
        """Whether everything that each of the steps read is unchanged."""
        return all(step.current(inputs_of(inputs, number)) for number, step in enumerate(self.steps))

    def migrate(self, url: URL) -> Migrated:
        """Run them.

        Raises:
            MigrationError: One failed; those after it were not run.
        """
        read: dict[str, str] = {}
        found: list[Evidence | None] = []
        inputs: Inputs = {}
        for number, step in enumerate(self.steps):
            inputs = step.migrate(url)
            read |= named_for(number, inputs)
            found.append(evidence.of(inputs))
        # The last step stands on all that was made before.
        return Migrated(read, together(found), evidence.footing_of(inputs))


def named_for(number: int, inputs: Inputs) -> dict[str, str]:
    """What a step read, as it is called among the inputs of all steps."""
    return {f"{number}{_OF}{name}": digest for name, digest in inputs.items()}


def inputs_of(inputs: Inputs, number: int) -> Inputs:
    """What one of the steps read."""
    own = f"{number}{_OF}"
    return {name.removeprefix(own): digest for name, digest in inputs.items() if name.startswith(own)}


def together(found: Sequence[Evidence | None]) -> Evidence | None:
    """What is known after several steps; None where one of them tells nothing."""
    known = [each for each in found if each is not None]
    if len(known) < len(found) or not known:
        return None
    of_alembic = [each for each in known if not each.ran]
    tables: dict[str, Sequence[str]] = {}
    for each in known:
        tables |= dict(each.tables)
    return Evidence(
        current=sorted({revision for each in of_alembic for revision in each.current}),
        heads=sorted({revision for each in of_alembic for revision in each.heads}),
        has_head=bool(of_alembic) and all(each.has_head for each in of_alembic),
        names_models=any(each.names_models for each in known),
        differences=[difference for each in known for difference in each.differences][:KEPT],
        number=sum(each.number for each in known),
        config=next((each.config for each in known if each.problem or each.number), of_alembic[0].config)
        if of_alembic
        else "",
        problem=next((each.problem for each in known if each.problem), ""),
        ran=[text for each in known for text in each.ran],
        doubt=next((each.doubt for each in known if each.doubt), ""),
        tables=tables,
    )


def placed(
    migrator: Migrator,
    root: Path,
    surroundings: Surroundings | None = None,
    limit: float | None = None,
    exports: tuple[Export, ...] = (),
    *,
    grows: bool = False,
) -> Migrator:
    """The migrator as it is in a project: with the project's root, where it was given none.

    Args:
        migrator: Ours or the project's own, which stays as it is.
        root: The project's root.
        surroundings: Those of the process for which it migrates, where it is not this one.
        limit: Seconds after which its process is ended, where it was given none.
        exports: Variables that name the database to the application, where it was given none.
        grows: A longer history may be continued from what it made, whatever it was given.
    """
    if isinstance(migrator, Steps):
        return Steps(*(placed(step, root, surroundings, limit, exports, grows=grows) for step in migrator.steps))
    if isinstance(migrator, SqlFiles):
        return replace(migrator, root=root / (migrator.root or ""))
    if not isinstance(migrator, Alembic | Command | Call | Models):
        return migrator
    moved = replace(
        migrator,
        surroundings=surroundings or migrator.surroundings,
        limit=migrator.limit or limit,
        exports=migrator.exports or exports,
    )
    if isinstance(moved, Alembic):
        # An alembic.ini has a place of its own.
        return replace(moved, grows=moved.grows or grows)
    return replace(moved, root=root / (moved.root or ""))


def flat(migrator: Migrator) -> list[Migrator]:
    """The migrators that a migrator consists of."""
    return [each for step in migrator.steps for each in flat(step)] if isinstance(migrator, Steps) else [migrator]
