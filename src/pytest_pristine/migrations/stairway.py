"""The process that goes through a history one revision at a time: up, down, and up again, with dumps compared.

Run as `python -m pytest_pristine.migrations.stairway ANSWER REVISION …` with a request on standard input; the revisions
that are named cannot be undone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationStep
from alembic.script import Script, ScriptDirectory
from sqlalchemy import create_engine, pool
from sqlalchemy.engine import URL, make_url

from pytest_pristine.migrations import dumps, guarding, steering, upgrade
from pytest_pristine.migrations.dumps import Dump
from pytest_pristine.migrations.messages import NOT_APPLIED, Request
from pytest_pristine.postgres import urls


@dataclass(slots=True)
class Walk:
    """What came of it.

    Attributes:
        revisions: How many were gone through.
        undone: How many of them were undone, and done again.
        findings: What is wrong, a line each, by revision and file: "0002 in migrations/versions/0002_orders.py".
        problem: What kept it from going on; empty when it came to the head.
        irreversible: Revisions that say themselves that they cannot be undone.
    """

    revisions: int = 0
    undone: int = 0
    findings: dict[str, list[str]] = field(default_factory=dict)
    problem: str = ""
    irreversible: list[str] = field(default_factory=list)


class _Irreversible(Exception):  # noqa: N818 - it is no error
    """A revision has no downgrade, or one that raises NotImplementedError."""


class Stairs:
    """A history, and the empty database that it goes through."""

    def __init__(self, request: Request, given: Collection[str]) -> None:
        self._request = request
        self._url: URL = make_url(request.url)
        self._engine = create_engine(urls.synchronous(self._url), poolclass=pool.NullPool)
        with self._engine.connect() as connection:
            self._script = ScriptDirectory.from_config(steering.configure(request, connection))
        self._given = given

    def walk(self) -> Walk:
        """Go through the whole history, or what of it was not applied by what was run before it."""
        walk = Walk()
        # Alembic's own table comes with the first run, and stays.
        applied = self._applied()
        before = dumps.take(self._url)
        for revision in reversed(list(self._script.walk_revisions())):
            if revision.revision in applied:
                continue
            name = f"{revision.revision} in {self._file(revision)}"
            try:
                self._step(revision, up=True)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the project's code raises is the answer
                walk.problem = f"{name}: {NOT_APPLIED}{self._said(error)}"
                return walk
            walk.revisions += 1
            above = dumps.take(self._url)
            if revision.revision not in self._given:
                found = walk.findings.setdefault(name, [])
                above = self._down_and_up(revision, before, above, found, walk)
                if walk.problem:
                    walk.problem = f"{name}: {walk.problem}"
                    return walk
            before = above
        return walk

    def _applied(self) -> set[str]:
        """The revisions that the database has."""
        current: list[str] = []

        def note(heads: Sequence[str], _: object) -> list[MigrationStep]:
            current.extend(heads)
            return []

        self._run(note)
        return {each.revision for each in self._script.iterate_revisions(tuple(current), "base")} if current else set()

    def _down_and_up(self, revision: Script, before: Dump, above: Dump, found: list[str], walk: Walk) -> Dump:
        """Undo a revision and do it again; gives the dump after it."""
        try:
            self._step(revision, up=False)
        except _Irreversible:
            walk.irreversible.append(revision.revision)
            return above
        except (Exception, SystemExit) as error:  # noqa: BLE001 - see above
            found.append(f"it cannot be undone: {self._said(error)}")
            left = list(dumps.differences(above, dumps.take(self._url)))
            walk.problem = f"half of it was undone: {'; '.join(left)}" if left else ""
            return above
        found += [f"undone, {what}" for what in dumps.differences(before, dumps.take(self._url))]
        try:
            self._step(revision, up=True)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - see above
            found.append(f"undone, it cannot be applied again: {self._said(error)}")
            walk.problem = "what follows it could not be looked at"
            return above
        again = dumps.take(self._url)
        walk.undone += 1
        found += [f"applied again, {what}" for what in dumps.differences(above, again)]
        found += [f"applied again, {what}" for what in dumps.of_rows(above, again)]
        return again

    def _step(self, revision: Script, *, up: bool) -> None:
        """Run one revision, whatever branch it stands on."""
        # `alembic downgrade` would undo other branches with it.
        make: Callable[..., Any] = MigrationStep.upgrade_from_script if up else MigrationStep.downgrade_from_script

        if not up and not hasattr(revision.module, "downgrade"):
            raise _Irreversible

        try:
            self._run(lambda *_: [make(self._script.revision_map, revision)])
        except NotImplementedError as error:
            if not up:
                raise _Irreversible from error
            raise

    def _run(self, steps: Callable[..., list[Any]]) -> None:
        """Have env.py run some steps."""
        with guarding.guarded(self._url, "env.py"), self._engine.connect() as connection:
            config = steering.configure(self._request, connection)
            with EnvironmentContext(config, self._script, fn=steps):
                self._script.run_env()

    def _file(self, revision: Script) -> str:
        path, root = Path(revision.path), self._request.root
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

    def _said(self, error: BaseException) -> str:
        return upgrade.failure(error, self._request).message


def main() -> None:
    """Answer the request on standard input in the file that the command line names."""
    answer, *given = sys.argv[1:]
    request = Request(**json.load(sys.stdin))
    try:
        walk = Stairs(request, given).walk()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the project's code raises is the answer
        walk = Walk(problem=upgrade.failure(error, request).message)
    walk.findings = {name: found for name, found in walk.findings.items() if found}
    Path(answer).write_text(json.dumps(asdict(walk)), encoding="utf-8")


if __name__ == "__main__":
    main()
