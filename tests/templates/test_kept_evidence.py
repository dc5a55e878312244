"""What is known of the migrations is kept with the template, and comes with each of its copies."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

from sqlalchemy.engine import URL

from pytest_pristine.migrations.evidence import Evidence, Migrated
from pytest_pristine.postgres import marks
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.templates.run import Run
from pytest_pristine.templates.workspace import work_in
from tests.templates.conftest import Schema, Templates

_FOUND = Evidence(["2"], ["2"], has_head=True, names_models=True, differences=["table a: gone"], number=1, ran=[])


class Telling(Schema):
    """A migrator that tells what it found."""

    def migrate(self, url: URL) -> Migrated:
        """Execute the statements."""
        return Migrated(super().migrate(url), _FOUND)


def test_warm_runs_know_it(templates: Templates) -> None:
    """The run that builds the template and one that finds it know the same, and only the first migrates."""
    migrator = Telling("CREATE TABLE a ()", {"file:x": "1"})
    for _ in range(2):
        with templates.lease(migrator) as workspace:
            assert workspace.migrated == _FOUND
    assert migrator.runs == 1


def test_a_migrator_that_tells_nothing(templates: Templates) -> None:
    """A migrator of a project's own that gives a plain mapping works as before, and nothing is known."""
    with templates.lease(Schema("CREATE TABLE a ()")) as workspace:
        assert workspace.migrated is None


def test_it_travels(templates: Templates) -> None:
    """A copy that is sent to another process takes it along."""
    run = Run(templates.server.url, None, project=templates.project, session="00000000")
    try:
        (copy,) = run.copies(Telling("CREATE TABLE a ()"), ["gw0"])
        with work_in(pickle.loads(pickle.dumps(copy))) as workspace:  # noqa: S301 - our own
            assert workspace.migrated == _FOUND
    finally:
        run.close()


def test_marks_of_other_versions() -> None:
    """A mark that an older version wrote is read without it; one of a newer version is ours, and no more is known."""
    mark = Mark(marks.TEMPLATE, "1", "shop", "2", migrated=_FOUND.as_dict())
    prefix, _, text = str(mark).partition("{")
    older = json.loads("{" + text)
    assert older.pop("migrated")
    assert marks.read(prefix + json.dumps(older)) == replace(mark, migrated={})
    assert Evidence.read(replace(mark, migrated={}).migrated) is None
    newer = marks.read(prefix + json.dumps({**older, "unheard_of": 1}))
    assert newer is not None
    assert newer.kind == "unknown"
    assert marks.read(str(mark)) == mark
