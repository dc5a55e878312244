"""Whether a longer history is what made a database, and more: then only the rest need be applied to a copy of it.

A revision may depend on its own file, on what it reads and imports, on env.py, and on the application, which env.py
imports for its models. The models change with almost every revision, and rarely matter to earlier ones. What mattered
is in the footing; see `witness`. In doubt the answer is no.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine.errors import MigrationError
from pytest_pristine.migrations import evidence, fingerprint
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.evidence import Evidence, Migrated
from pytest_pristine.migrations.fingerprint import Inputs
from pytest_pristine.migrations.footing import Footing
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.migrations.sql_files import SqlFiles
from pytest_pristine.migrations.steps import Steps, inputs_of, named_for, together
from pytest_pristine.postgres import names

# By these a module can change what any revision does, without being called by it.
_FAR_REACHING = re.compile(
    r"compiles|listens_for|\blisten\b|register_operation|implementation_for|DefaultImpl|PostgresqlImpl|\bpatch|monkeypatch|setattr"
)
# Revisions import Alembic for its operations, a module to change something of it.
_OF_MODULES = re.compile(rf"{_FAR_REACHING.pattern}|alembic")


@dataclass(frozen=True, slots=True)
class Growing:
    """A history that may have grown since a database was made of it.

    Attributes:
        alembic: The history, which is the last step.
        before: Files of SQL that are run before it.
    """

    alembic: Alembic
    before: tuple[SqlFiles, ...] = ()

    @classmethod
    def of(cls, migrator: Migrator) -> Growing | None:
        """The history of a migrator; None where there is none that could be continued."""
        steps = migrator.steps if type(migrator) is Steps else (migrator,)
        *before, last = steps or (None,)
        # One that a project derived may do more.
        if type(last) is not Alembic or last.inline or not last.grows:
            return None
        files = tuple(each for each in before if type(each) is SqlFiles)
        return cls(last, files) if len(files) == len(before) else None

    def stem(self) -> str:
        """A digest of what it has in common with itself when it was shorter."""
        return names.digest("stem", *(each.fingerprint() for each in self.before), self.alembic.stem())

    def follows(self, inputs: Inputs, footing: Footing) -> bool:
        """Whether it may begin with what a database was made of.

        Args:
            inputs: What was read when the database was made.
            footing: What was seen then.
        """
        if footing.doubts or not footing.applied:
            return False
        changed = fingerprint.changed(self._own(inputs), self._root)
        if not all(_may_change(key, footing) for key in changed):
            return False
        # What would be refused afterwards may have left something outside of the database by then.
        return not any(fingerprint.is_module(key) and self._has(_OF_MODULES, key) for key in changed)

    def unwatched(self) -> Migrator:
        """The same, but that nobody watches what the revisions do."""
        alone = replace(self.alembic, grows=False)
        return Steps(*self.before, alone) if self.before else alone

    def extend(self, url: URL, inputs: Inputs, footing: Footing, found: Mapping[str, object]) -> Migrated:
        """Apply the rest to a copy of the database.

        Args:
            url: The copy.
            inputs: What was read when the database was made.
            footing: What was seen then.
            found: The evidence that it left.

        Raises:
            MigrationError: It failed, or turned out to be not the rest.
        """
        made, before = self.alembic.extend(url, footing), self._own(inputs)
        now = evidence.footing_of(made)
        if now is None or not self._agrees(before, footing, made, now):
            raise MigrationError("the rest of a history", "something else has changed that may have mattered before")
        # What the first revisions read was not read again.
        changed = fingerprint.changed(before, self._root)
        read = {key: digest for key, digest in before.items() if key not in changed} | made
        return self._whole(Migrated(read, made.evidence, _joined(footing, now)), Evidence.read(found))

    def _agrees(self, before: Inputs, footing: Footing, made: Inputs, now: Footing) -> bool:
        """Whether what was read now could have changed nothing of what the first revisions did."""
        new = {key for key, digest in made.items() if before.get(key) != digest}
        revisions = {key for _, key in now.applied}
        modules = {key for key in new - revisions if fingerprint.is_module(key)}
        return (
            not any(map(fingerprint.is_package, new))
            and list(now.outside) == list(footing.outside)
            and list(map(tuple, now.applied[: len(footing.applied)])) == list(map(tuple, footing.applied))
            and new.isdisjoint(key for _, key in footing.applied)
            and not (footing.bound and modules)
            and not any(self._has(_FAR_REACHING, key) for key in new & revisions)
            and not any(self._has(_OF_MODULES, key) for key in modules)
        )

    def _has(self, words: re.Pattern[str], key: str) -> bool:
        """Whether one of some words stands in a file, or may do so."""
        try:
            return words.search(fingerprint.path_of(key, self._root).read_text("utf-8")) is not None
        except (OSError, ValueError):
            return True

    def _whole(self, made: Migrated, found: Evidence | None) -> Migrated:
        """What is known of the database: of the history, and of the steps before it."""
        if not self.before:
            return made
        earlier = Evidence(ran=found.ran, doubt=found.doubt) if found is not None else None
        return Migrated(named_for(len(self.before), made), together([earlier, made.evidence]), made.footing)

    def _own(self, inputs: Inputs) -> Inputs:
        """What Alembic read. Of files of SQL all is known beforehand."""
        return inputs_of(inputs, len(self.before)) if self.before else inputs

    @property
    def _root(self) -> Path:
        return (self.alembic.root or self.alembic.config.parent).resolve()


def _may_change(key: str, footing: Footing) -> bool:
    """Whether an input may be another now, and what revisions made the same."""
    if key in footing.fixed or key in (file for _, file in footing.applied):
        return False
    if key in footing.listed:
        return True
    return not footing.bound and (fingerprint.is_module(key) or fingerprint.is_directory(key))


def _joined(before: Footing, now: Footing) -> Footing:
    """The footing of what was made in two parts."""
    fixed = {*before.fixed, *now.fixed}
    return replace(
        now,
        bound=before.bound or now.bound,
        fixed=sorted(fixed),
        listed=[each for each in now.listed if each not in fixed],
    )
