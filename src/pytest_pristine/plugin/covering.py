"""Schema coverage of a run: begun with the database, looked at around restores, told in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_pristine.isolation.restored import Restored
    from pytest_pristine.plugin.recording import Equipment
    from pytest_pristine.settings import Settings
    from pytest_pristine.templates.provider import PostgresServer
    from pytest_pristine.verify.records import ProcessRecord, TestRecord


def is_wanted(settings: Settings) -> bool:
    """Whether the run measures what of the schema its tests touch."""
    return bool(settings.schema_cov.value or settings.report.value) or settings.schema_cov_fail_under.value is not None


def begin(equipment: Equipment, server: PostgresServer) -> None:
    """Begin to observe the database, if that is wanted."""
    if not is_wanted(equipment.settings):
        return
    from pytest_pristine.verify.schema_coverage.coverage import SchemaCoverage  # most runs need none
    from pytest_pristine.verify.statements import Listener  # heavy, and loaded by now

    coverage = SchemaCoverage.begin(equipment.workspace.url, server.capabilities, server.server.offer.log)
    equipment.coverage = coverage
    equipment.recorder.listeners.append(Listener(coverage.statement, coverage.error))


def look(equipment: Equipment, record: TestRecord) -> None:
    """Note what a test touched, before it is undone."""
    if equipment.coverage is not None:
        record.covered = sorted({*record.covered, *equipment.coverage.after_test()})


def leave_out(equipment: Equipment, restored: Restored | None) -> list[int]:
    """Leave out what we did since: a restore, and a proof. Gives what the test had touched that the restore found.

    Args:
        equipment: What the process has.
        restored: What was put back; None when that failed.
    """
    coverage = equipment.coverage
    if coverage is None:
        return []
    equipment.isolation.tell_counts()
    tables: Sequence[str] = [] if restored is None else [table for table, _ in restored.rows]
    coverage.after_restore(tables, remade=restored is None or bool(restored.remade))
    return coverage.written(tables)


def pass_over_fresh(equipment: Equipment) -> None:
    """Say in the end that fresh databases were not observed."""
    from pytest_pristine.verify.schema_coverage.totals import FRESH  # most runs need none

    if equipment.coverage is not None and FRESH not in equipment.coverage.untold:
        equipment.coverage.untold.append(FRESH)


def finish(equipment: Equipment, process: ProcessRecord) -> None:
    """Note what was touched in total."""
    if equipment.coverage is not None:
        process.schema = equipment.coverage.finish()
        equipment.coverage = None
