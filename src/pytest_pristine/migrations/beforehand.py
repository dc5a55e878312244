"""What can be told of the migrations before anything runs: a path or a module that they name and that is not there."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pytest_pristine.errors import StepConfigError
from pytest_pristine.migrations import chosen
from pytest_pristine.migrations.call import Call
from pytest_pristine.migrations.command import Command
from pytest_pristine.migrations.models import Models
from pytest_pristine.migrations.sql_files import SqlFiles
from pytest_pristine.settings import DEFAULT, Settings


def check(root: Path, settings: Settings) -> None:
    """Check what the settings name. Nothing is imported and nothing is run, so that only what is certain is told.

    Args:
        root: pytest's root directory.
        settings: The settings.

    Raises:
        AlembicConfigError: The configuration that was named is not there.
        StepConfigError: A file, a directory or a module is not there, or a line cannot be read.
    """
    if settings.migrations.origin == settings.alembic_config.origin == DEFAULT:
        return
    may_write = False
    for step in chosen.each(root, settings):
        if isinstance(step, SqlFiles):
            step.files()
        if not may_write:
            _check_module(step, root, settings)
        # Such a step may write the modules of those after it; not the files, of which a template's name is made.
        may_write |= isinstance(step, Command | Call)


def _check_module(step: object, root: Path, settings: Settings) -> None:
    """Check that the module of a step is there, as far as it can be told without importing its package."""
    named = step.function if isinstance(step, Call) else step.metadata if isinstance(step, Models) else ""
    for target in named.split() if isinstance(named, str) else ():
        package = target.partition(":")[0].partition(".")[0]
        if not _is_there(package, root):
            raise StepConfigError(
                f"the module {target.partition(':')[0]} of {step}", f"no module {package} in {root}, or installed",
                [f"correct {settings.migrations.origin}; modules are found from {root}"],
            )  # fmt: skip


def _is_there(package: str, root: Path) -> bool:
    if (root / package).is_dir() or any(root.glob(f"{package}.*")):
        return True
    try:
        return importlib.util.find_spec(package) is not None
    except (ValueError, ImportError):
        return True  # one that was made otherwise: it is the step that will tell
