"""A real, migrated, isolated Postgres for every pytest test.

The fixtures come with the plugin; a test suite need import nothing. These names are for projects that adjust them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_pristine.errors import PristineError
    from pytest_pristine.migrations.alembic import Alembic
    from pytest_pristine.migrations.call import Call
    from pytest_pristine.migrations.command import Command
    from pytest_pristine.migrations.migrator import Migrator
    from pytest_pristine.migrations.models import Models
    from pytest_pristine.migrations.sql_files import SqlFiles
    from pytest_pristine.migrations.steps import Steps
    from pytest_pristine.templates.provider import PostgresServer
    from pytest_pristine.templates.workspace import Workspace
    from pytest_pristine.warnings import LeftoverWarning, PristineWarning, SchemaChangedWarning

__all__ = [
    "Alembic", "Call", "Command", "LeftoverWarning", "Migrator", "Models", "PostgresServer", "PristineError",
    "PristineWarning", "SchemaChangedWarning", "SqlFiles", "Steps", "Workspace",
]  # fmt: skip

_HOMES = {
    "Alembic": "pytest_pristine.migrations.alembic",
    "Call": "pytest_pristine.migrations.call",
    "Command": "pytest_pristine.migrations.command",
    "LeftoverWarning": "pytest_pristine.warnings",
    "Migrator": "pytest_pristine.migrations.migrator",
    "Models": "pytest_pristine.migrations.models",
    "PostgresServer": "pytest_pristine.templates.provider",
    "PristineError": "pytest_pristine.errors",
    "PristineWarning": "pytest_pristine.warnings",
    "SchemaChangedWarning": "pytest_pristine.warnings",
    "SqlFiles": "pytest_pristine.migrations.sql_files",
    "Steps": "pytest_pristine.migrations.steps",
    "Workspace": "pytest_pristine.templates.workspace",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    """Import a public name when it is asked for: pytest imports this package in every run, ours or not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib  # rarely needed

    return getattr(importlib.import_module(_HOMES[name]), name)
