"""Judging a run by what was collected of it, and publishing that."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from pytest_pristine.errors import PristineError
from pytest_pristine.plugin import measuring, options, skipping, state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_pristine.report.collected import Collected
    from pytest_pristine.report.document import Document, Kept
    from pytest_pristine.verify.checklist import Item


def judge(config: pytest.Config, collected: Collected) -> list[Item]:
    """The checklist."""
    from pytest_pristine.verify import cleanliness, migrations, skips  # most runs have nothing to judge
    from pytest_pristine.verify.schema_coverage import totals  # the same
    from pytest_pristine.verify.sqlite_guard import verdict  # the same

    tests, processes, silent = list(collected.records.values()), collected.processes, collected.silent
    server = state.found(config)
    described, product = ("", "") if server is None else (str(server), server.capabilities.product)
    settings = options.read(config)
    schema = totals.judge(_schema(collected), settings.schema_cov_fail_under.value)
    return [
        cleanliness.postgres(described, product, tests),
        migrations.judge(processes),
        measuring.judge(config),
        cleanliness.pristine(tests, processes, silent),
        verdict.judge(tests, processes, silent),
        cleanliness.connections(tests, processes, silent),
        skips.judge(skipping.skipped(config)),
        *([] if schema is None else [schema]),
    ]


def _schema(collected: Collected) -> dict[str, Any]:
    """What all processes found of the schema."""
    from pytest_pristine.verify.schema_coverage import totals  # most runs have nothing to judge

    return totals.merge(process.schema for process in collected.processes)


def publish(config: pytest.Config, collected: Collected, items: Sequence[Item]) -> list[str]:
    """Write the reports that are wanted; gives lines that the user has to see."""
    from pytest_pristine.report import ci, writing  # most runs have nothing to publish
    from pytest_pristine.verify.schema_coverage import totals  # the same

    document = _document(config, collected, items)
    for plugin in config.pluginmanager.get_plugins():
        add = getattr(plugin, "add_global_property", None)  # pytest's writer of JUnit's format
        if add is not None:
            for name, value in ci.properties(document):
                add(name, value)
    settings = options.read(config)
    notes = [*dict.fromkeys(problem for process in collected.processes for problem in process.problems)]
    schema = _schema(collected)
    if schema and settings.schema_cov_fail_under.value is None:
        notes.append(f"schema coverage: {totals.told(schema)}")
    notes += [note] if (note := ci.append(document, os.environ)) else []
    if settings.report.value is not None:
        directory = config.rootpath / settings.report.value
        try:
            notes.append(f"report: {writing.write(document, directory)}")
        except PristineError as error:
            notes.append(f"no report: {error.found}")
    return notes


def kept(config: pytest.Config, collected: Collected) -> list[Kept]:
    """The databases of failed tests that were kept."""
    from pytest_pristine.report import building  # most runs have nothing to show

    server = state.found(config)
    named = server.url if server is not None and server.source == "url" else None
    return building.kept_of(collected.records.values(), named)


def _document(config: pytest.Config, collected: Collected, items: Sequence[Item]) -> Document:
    from pytest_pristine.report import building  # most runs have nothing to publish
    from pytest_pristine.report.collected import Judged  # the same
    from pytest_pristine.report.document import Server  # the same

    found = state.found(config)
    server = None if found is None else Server(found.capabilities.version_text, found.source, str(found))
    schema = building.schema(_schema(collected), collected, options.read(config).schema_cov_fail_under.value)
    tables = [] if schema is None else [each.name for each in schema.objects if each.kind == "table written"]
    return building.build(
        collected,
        Judged(config.rootpath.name, items, server, state.spent(config), kept(config, collected), schema, tables),
    )
