"""A template that grows: built on the one of a shorter history, to which the rest is applied."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.engine import URL

from pytest_pristine.migrations.evidence import Migrated
from pytest_pristine.migrations.footing import Footing
from pytest_pristine.migrations.growing import Growing
from pytest_pristine.postgres import databases, marks
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database
from pytest_pristine.templates.ground import Shorter


def longest(connection: Connection, project: str, stem: str, history: Growing) -> Step | None:
    """From the template with which a history may begin, of several the longest; None where there is none."""
    found = [
        (len(footing.applied), each.mark.used, each)
        for each in databases.ours(connection)
        if each.sealed
        and (each.mark.kind, each.mark.project, each.mark.stem) == (marks.TEMPLATE, project, stem)
        and (footing := Footing.read(each.mark.footing)) is not None
        and history.follows(each.mark.inputs, footing)
    ]
    best = max(found, key=lambda each: each[:2], default=None)
    return None if best is None else Step(history, best[-1])


@dataclass(frozen=True, slots=True)
class Step:
    """From a template to that of the longer history.

    Attributes:
        history: The longer history.
        template: The template of the shorter one.
    """

    history: Growing
    template: Database

    def ground(self, connection: Connection) -> Shorter:
        """What the longer one is built on."""
        return Shorter(connection, self.template)

    def migrate(self, url: URL) -> Migrated:
        """Apply the rest of the history to a copy of the template.

        Raises:
            MigrationError: It failed, or the template turned out to be of no use.
        """
        mark, footing = self.template.mark, self._footing()
        return self.history.extend(url, mark.inputs, footing, mark.migrated)

    def name(self, made: Footing | None) -> str:
        """How much was applied, for people."""
        before, after = len(self._footing().applied), len(made.applied) if made is not None else 0
        return f"{after - before} of {after} revision{'' if after == 1 else 's'}"

    def _footing(self) -> Footing:
        return Footing.read(self.template.mark.footing) or Footing()
