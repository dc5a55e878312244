"""The migrations that the settings of a project describe: `pristine_migrations`, one step a line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from pytest_pristine.errors import StepConfigError
from pytest_pristine.migrations import locate, words
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.call import Call
from pytest_pristine.migrations.command import Command
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.migrations.models import Models
from pytest_pristine.migrations.sql_files import SqlFiles
from pytest_pristine.migrations.steps import Steps, placed
from pytest_pristine.migrations.surroundings import Surroundings
from pytest_pristine.settings import INI, Settings, Value

INLINE = "inline"


def of_settings(
    root: Path, settings: Settings, surroundings: Surroundings | None = None, limit: float | None = None
) -> Migrator:
    """The project's migrations.

    Args:
        root: pytest's root directory.
        settings: The settings.
        surroundings: Those of the process for which they are run, where it is not this one.
        limit: Seconds after which each of their processes is ended.

    Raises:
        AlembicConfigError: There is no alembic.ini, or there are several.
        StepConfigError: A line cannot be read.
    """
    steps = each(root, settings)
    migrator = steps[0] if len(steps) == 1 else Steps(*steps)
    return placed(migrator, root, surroundings, limit, settings.export.value, grows=settings.delta.value)


def each(root: Path, settings: Settings) -> list[Migrator]:
    """The steps. Arguments and errors are those of `of_settings`."""
    return [_step(line, root, settings) for line in settings.migrations.value]


def _kind(line: str) -> str:
    return line.partition(":")[0].strip()


def _step(line: str, root: Path, settings: Settings) -> Migrator:
    about = line.partition(":")[2].strip()
    try:
        return _MAKERS[_kind(line)](about, root, settings)
    except ValueError as error:
        origin = settings.migrations.origin
        raise StepConfigError(f"{error}, in {origin}", line, [f"correct {origin}"]) from None


class _Arguments(argparse.ArgumentParser):
    """Reads what stands in a line, and ends no process."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with it."""
        raise ValueError(f"alembic: [NAME=value …] [path] [-n section] [-x argument] [--target revision] ({message})")


def _alembic(about: str, root: Path, settings: Settings) -> Alembic:
    variables, rest = words.assignments(words.split(about))
    parser = _Arguments(add_help=False, allow_abbrev=False)
    parser.add_argument("config", nargs="?")
    parser.add_argument("-n", "--name", default="")
    parser.add_argument("-x", action="append", default=[])
    parser.add_argument("--target", default=settings.alembic_target.value)
    given = parser.parse_args(rest)
    path, _, section = (given.config or "").partition("#")
    where = Value(path, INI, settings.migrations.origin) if path else settings.alembic_config
    return Alembic(
        config=locate.alembic_config(root, where),
        root=root,
        target=given.target,
        inline=settings.migrations_process.value == INLINE,
        environment=variables,
        section=section or given.name,
        x=tuple(given.x),
    )


def _command(about: str, root: Path, settings: Settings) -> Command:  # noqa: ARG001 - as all makers are called
    words.split(about)  # what is wrong with it is told before anything runs
    return Command(about, root=root)


def _sql(about: str, root: Path, settings: Settings) -> SqlFiles:  # noqa: ARG001 - the same
    return SqlFiles(about, root=root)


def _call(about: str, root: Path, settings: Settings) -> Call:
    target, *arguments = words.split(about)
    _check_target(target)
    inline = settings.migrations_process.value == INLINE
    return Call(target, tuple(arguments) or ("{url}",), inline=inline, root=root)


def _models(about: str, root: Path, settings: Settings) -> Models:
    _check_target(about.rsplit(maxsplit=1)[-1])
    inline = settings.migrations_process.value == INLINE
    return Models(about, settings.extensions.value or (), inline=inline, root=root)


def _check_target(target: str) -> None:
    module, colon, name = target.partition(":")
    if not (module and colon and name):
        raise ValueError("package.module:name")


_MAKERS: dict[str, Callable[[str, Path, Settings], Migrator]] = {
    "alembic": _alembic, "sql": _sql, "command": _command, "call": _call, "models": _models,
}  # fmt: skip
