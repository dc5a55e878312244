"""Alembic's configuration: alembic.ini, pyproject.toml, or both. It is read without importing Alembic."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pytest_pristine.errors import AlembicConfigError

INI = "alembic.ini"
TOML = "pyproject.toml"
# The section of alembic.ini that is Alembic's, unless it is told another.
SECTION = "alembic"
_LOCATION = "script_location"


class Files(NamedTuple):
    """The files that configure a history. What one has not the other may have; that of the ini file counts."""

    ini: Path | None
    toml: Path | None


def files(config: Path) -> Files:
    """The files that Alembic would read, given one of them: it looks for the other beside it."""
    path = config.resolve()
    if path.suffix == ".toml":
        beside = path.parent / INI
        return Files(beside if beside.is_file() else None, path)
    beside = path.parent / TOML
    return Files(path, beside if of_toml(beside) else None)


def of_toml(path: Path) -> Mapping[str, Any]:
    """The table `[tool.alembic]` of a pyproject.toml; empty where there is none."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("alembic", {})
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def script_location(found: Files, section: str) -> str:
    """The text of `script_location`.

    Args:
        found: The files.
        section: The section of alembic.ini that is Alembic's.

    Raises:
        AlembicConfigError: None of the files is there, or none has it.
    """
    problem = ""
    shown = found.ini or found.toml
    for path in found:
        if path is not None and not path.is_file():
            raise AlembicConfigError(
                f"the Alembic configuration {path.absolute()}", "no such file", ["give its path from __file__"]
            )
    if found.ini is not None:
        try:
            return _parse(found.ini).get(section, _LOCATION)
        except configparser.Error as error:
            problem = str(error)
    location = of_toml(found.toml).get(_LOCATION) if found.toml is not None else None
    if found.toml is not None and isinstance(location, str):
        return location.replace("%(here)s", found.toml.parent.as_posix()).replace("%%", "%")
    raise AlembicConfigError(
        f"{_LOCATION} in {shown}",
        problem or "no such key in [tool.alembic]",
        [f"write {_LOCATION} = … in {shown}"],
    )


def databases(found: Files) -> list[str]:
    """The databases that `databases` in alembic.ini lists, as in Alembic's template multidb."""
    if found.ini is None:
        return []
    try:
        listed = _parse(found.ini).get(SECTION, "databases")
    except (configparser.Error, OSError):
        return []
    return [name for name in re.split(r",\s*", listed.strip()) if name]


def _parse(ini: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser({"here": str(ini.parent).replace("%", "%%")})
    parser.read(ini, encoding="utf-8")
    return parser
