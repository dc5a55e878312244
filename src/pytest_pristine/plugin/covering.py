"""Schema coverage of a run: begun with the database, fed by SQLAlchemy, looked at around restores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_pristine.plugin import recording

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import ExceptionContext

    from pytest_pristine.isolation.isolation import Isolation
    from pytest_pristine.isolation.restored import Restored
    from pytest_pristine.settings import Settings
    from pytest_pristine.templates.provider import PostgresServer
    from pytest_pristine.templates.workspace import Workspace
    from pytest_pristine.verify.schema_coverage.coverage import SchemaCoverage

_COVERAGE = pytest.StashKey["tuple[SchemaCoverage, Isolation]"]()
_LISTENERS = pytest.StashKey[dict[str, Any]]()


def is_wanted(settings: Settings) -> bool:
    """Whether the run measures what of the schema its tests touch."""
    return bool(settings.schema_cov.value or settings.report.value) or settings.schema_cov_fail_under.value is not None


def begin(config: pytest.Config, server: PostgresServer, database: Workspace, isolation: Isolation) -> None:
    """Begin to observe the database, if that is wanted."""
    if not is_wanted(server.settings):
        return
    from sqlalchemy import Engine, event  # heavy, and loaded by now

    from pytest_pristine.verify.schema_coverage.coverage import SchemaCoverage  # the same

    coverage = SchemaCoverage.begin(database.url, server.capabilities, server.server.offer.log)
    config.stash[_COVERAGE] = coverage, isolation
    config.stash[_LISTENERS] = {"after_cursor_execute": _statement(coverage), "handle_error": _error(coverage)}
    for name, listener in config.stash[_LISTENERS].items():
        event.listen(Engine, name, listener)


def _statement(coverage: SchemaCoverage) -> Any:  # noqa: ANN401 - SQLAlchemy looks at its arguments
    def after_cursor_execute(
        _conn: object,
        _cursor: object,
        statement: str,
        parameters: object,
        context: object,
        _many: bool,  # noqa: FBT001
    ) -> None:
        coverage.statement(statement, parameters, context)

    return after_cursor_execute


def _error(coverage: SchemaCoverage) -> Any:  # noqa: ANN401 - the same
    def handle_error(context: ExceptionContext) -> None:
        coverage.error(context.original_exception)

    return handle_error


def attach(config: pytest.Config, engine: Engine) -> None:
    """Observe what an engine's sessions do."""
    if _COVERAGE in config.stash:
        config.stash[_COVERAGE][0].attach(engine)


def pause(config: pytest.Config) -> None:
    """Before an engine is disposed of: note what its sessions did last."""
    if _COVERAGE in config.stash:
        config.stash[_COVERAGE][0].after_test()


def after_test(item: pytest.Item) -> None:
    """Note what a test touched, before the restore."""
    if _COVERAGE in item.config.stash:
        recording.of_test(item).covered = item.config.stash[_COVERAGE][0].after_test()


@contextmanager
def around_restore(config: pytest.Config, item: pytest.Item | None = None) -> Iterator[list[Restored]]:
    """Leave out what a restore does. The body appends what it put back."""
    found: list[Restored] = []
    done = False
    try:
        yield found
        done = True
    finally:
        if _COVERAGE in config.stash:
            coverage, isolation = config.stash[_COVERAGE]
            isolation.tell_counts()
            remade = not done or any(restored.remade for restored in found)
            tables = [table for restored in found for table, _ in restored.rows]
            coverage.after_restore(tables, remade=remade)
            if item is not None:
                record = recording.of_test(item)
                record.covered = sorted({*record.covered, *coverage.written(tables)})


def finish(config: pytest.Config) -> None:
    """Note what was touched in total."""
    if _COVERAGE in config.stash:
        from sqlalchemy import Engine, event  # heavy, and loaded by now

        coverage, _ = config.stash[_COVERAGE]
        del config.stash[_COVERAGE]
        recording.of_process(config).schema = coverage.finish()
        for name, listener in config.stash[_LISTENERS].items():
            event.remove(Engine, name, listener)
