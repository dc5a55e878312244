"""Finding the project's Alembic configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pytest_pristine.errors import AlembicConfigError, NoAlembicConfigError
from pytest_pristine.migrations import configuration
from pytest_pristine.settings import Value

NAME = configuration.INI
# Directories below the root that are searched: deep enough for src/app/alembic.ini, shallow enough to be quick.
_DEPTH = 3
_NOT_OURS = frozenset({"node_modules", "site-packages", "__pycache__", "build", "dist"})


def alembic_config(root: Path, setting: Value[str | None]) -> Path:
    """The project's alembic.ini: the one that is set, else the root's, the only one below it, or the nearest above it.

    A pyproject.toml that says where Alembic's scripts are counts as one.

    Args:
        root: pytest's root directory.
        setting: `pristine_alembic_config`, relative to the root.

    Raises:
        AlembicConfigError: There is none, or there are several.
    """
    if setting.value is not None:
        path = root / setting.value
        if not path.is_file():
            raise AlembicConfigError(
                f"the Alembic configuration {path} ({setting.origin})", "no such file",
                [f"correct {setting.origin}; it is relative to {root}"],
            )  # fmt: skip
        return path
    own = _config_in(root)
    if own is not None:
        return own
    found = list(_search(root, _DEPTH))
    if len(found) == 1:
        return found[0]
    if found:
        raise _several(root, found)
    # Without an ini file pytest's root is the directory of the tests that were named.
    above = filter(None, map(_config_in, root.parents))
    try:
        return next(above)
    except StopIteration:
        raise _none(root) from None


def _config_in(directory: Path) -> Path | None:
    """The configuration in a directory: alembic.ini, or a pyproject.toml that says where the scripts are."""
    if _is_there(directory / NAME):
        return directory / NAME
    toml = directory / configuration.TOML
    return toml if _is_there(toml) and "script_location" in configuration.of_toml(toml) else None


def _search(directory: Path, depth: int) -> Iterator[Path]:
    """All configurations below a directory, installed packages and hidden directories left out."""
    try:
        with os.scandir(directory) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except PermissionError:
        return  # a data directory, say: what we may not read is not this project's configuration
    for name in names:
        below = directory / name
        if name.startswith(".") or name in _NOT_OURS or _is_there(below / "pyvenv.cfg"):
            continue
        config = _config_in(below)
        if config is not None:
            yield config
        if depth > 1:
            yield from _search(below, depth - 1)


def _is_there(path: Path) -> bool:
    """Whether a file is there, as far as we may know: pathlib raises where we may not enter its directory."""
    return os.path.isfile(path)  # noqa: PTH113 - see above


def _none(root: Path) -> NoAlembicConfigError:
    return NoAlembicConfigError(
        f"{NAME} in {root}, up to {_DEPTH} directories below it, or above it",
        "none",
        [
            "set pristine_alembic_config in the ini file to its path",
            "or make one: alembic init migrations",
            "or name what makes the schema: pristine_migrations = sql: …, command: …, call: … or models: …",
        ],
    )


def _several(root: Path, found: list[Path]) -> AlembicConfigError:
    listed = [path.relative_to(root).as_posix() for path in found]
    return AlembicConfigError(
        f"one {NAME} below {root}",
        "several: " + ", ".join(listed),
        [f"set pristine_alembic_config in the ini file to one of them, for example {listed[0]}"],
    )
