"""Real histories that nobody here wrote, brought to head and restored through the plugin's public fixtures.

Each project is run as its developer would run it. What it says about itself is not asked: its dumps are read.
"""

from __future__ import annotations

import pytest
from conftest import Result
from oracle import Dump

pytestmark = pytest.mark.acceptance


def test_project_passes(result: Result) -> None:
    """The project's own tests pass, all of them, in both runs."""
    for run in (result.built, result.cached):
        assert run.failed == {"failures": 0, "errors": 0, "skipped": 0}
        assert run.status == pytest.ExitCode.OK


def test_whole_history_ran(result: Result) -> None:
    """The version table holds the one revision on which no other builds, or the one of the branch that is in use."""
    (head,) = {result.case.branch} & result.heads if result.case.branch else result.heads
    assert result.built.pristine.rows["public.alembic_version"] == (head,)
    assert len(result.revisions) == result.case.revisions


def test_rows_of_the_migrations_are_there(result: Result) -> None:
    """Before the first test the tables hold exactly the rows that the history inserts."""
    assert result.built.pristine.filled == result.case.rows


def test_every_test_left_something(result: Result) -> None:
    """Every test that is to prove a restore gave it work, lookup rows, version row and sequences included."""
    pristine = result.built.pristine
    assert len(result.built.dirty) == result.case.writers
    assert all(dump != pristine for dump in result.built.dirty.values())
    changed = set().union(*(pristine.changed(dump) for dump in result.built.dirty.values()))
    assert changed >= result.case.written
    # Prefect's identifiers are random: there is no sequence that could have moved on.
    if any(line.startswith("CREATE SEQUENCE ") for line in pristine.definitions):
        assert any(dump.definitions != pristine.definitions for dump in result.built.dirty.values())
    assert all(dump.schema() == pristine.schema() for dump in result.built.dirty.values())


def test_everything_was_put_back(result: Result) -> None:
    """After each restore the database is, in schema, rows and sequences, what it was before the first test."""
    for run in (result.built, result.cached):
        assert run.restored.keys() == run.dirty.keys()
        left = {name: _difference(run.pristine, dump) for name, dump in run.restored.items() if dump != run.pristine}
        assert not left


def test_second_run_copied_the_template(result: Result) -> None:
    """The second run found the first one's template, and a database equal to the first one's."""
    assert result.cached.template == result.built.template
    assert result.cached.pristine == result.built.pristine
    assert result.cached.dirty.keys() == result.built.dirty.keys()


def _difference(pristine: Dump, dump: Dump) -> tuple[set[str], set[str]]:
    """The tables and definitions that differ, for a message that can be read."""
    return pristine.changed(dump), set(pristine.definitions) ^ set(dump.definitions)
