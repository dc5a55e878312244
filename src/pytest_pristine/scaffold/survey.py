"""What a project has: where its migrations, its tests, its packages and pytest's configuration are."""

from __future__ import annotations

import os
import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from pytest_pristine.diagnosis import configuration
from pytest_pristine.diagnosis.configuration import Configuration
from pytest_pristine.errors import SettingError
from pytest_pristine.scaffold import revisions

PYPROJECT = "pyproject.toml"
_NO_PACKAGES = frozenset({"tests", "test", "docs", "examples", "build", "dist", "migrations", "alembic"})
_FIRST_TEST = "test_postgres.py"
# Versions of Python for the workflow, the first that the project admits; we need 3.11.
_PYTHONS = ("3.11", "3.12", "3.13", "3.14")


@dataclass(frozen=True, slots=True)
class Project:
    """A project as it is found. Paths are relative to its root.

    Attributes:
        root: Its root directory.
        alembic: Its alembic.ini.
        told: The plugin finds that one: by itself, or because it is configured.
        doubt: Why its env.py will hardly connect to the database that it is given; None when nothing tells.
        configuration: The file that configures pytest; None when there is none.
        outer: A file in a directory above that configures pytest; None when the project has one of its own.
        first_test: The file for the first test, in the directory of the tests.
        packages: The packages whose coverage is to be measured.
        install: What installs it, as arguments of pip; empty when nothing tells.
        pythonpath: From where tests can import it only when pytest is told; None when it gets installed.
        python: The version of Python to test with.
        repository: The root of the repository that it is a part of; None when it is the whole, or in none.
    """

    root: Path
    alembic: Path
    told: bool
    doubt: str | None
    configuration: Path | None
    outer: Path | None
    first_test: Path
    packages: tuple[str, ...]
    install: str
    pythonpath: str | None
    python: str
    repository: Path | None


def look(root: Path, alembic: str | None = None) -> Project:
    """Look at the project in a directory, and change nothing.

    Args:
        root: Its root.
        alembic: The path of its alembic.ini, if it is not to be found.

    Raises:
        AlembicConfigError: There is no alembic.ini, or there are several and none was named.
        SettingError: A file cannot be read, or the directory is no root of a project.
    """
    try:
        return _look(root, alembic)
    except OSError as error:
        what = error.filename or f"the files in {root}"
        raise SettingError(f"to read {what}", error.strerror or str(error), ["make it readable"]) from None


def _look(root: Path, alembic: str | None) -> Project:
    pyproject = _pyproject(root)
    asked = _ask_pytest(root)
    own = _configures(asked.file, root, pyproject)
    configured = (asked.options.get("alembic_config") or asked.values.get(revisions.KEY)) if own else None
    config = revisions.find(root, alembic, configured)
    install = _install(root, pyproject)
    tests = _tests(root, asked.testpaths if own else ())
    return Project(
        root=root,
        alembic=revisions.relative(config, root),
        told=configured is not None or revisions.found_by_itself(config, root),
        doubt=revisions.doubt(config, root),
        configuration=asked.file.relative_to(root) if own and asked.file else None,
        outer=asked.file if not own and _configures_from_above(asked.file, root) else None,
        first_test=tests / _first_test(asked.patterns),
        packages=_packages(root),
        install=install,
        pythonpath=_pythonpath(root, pyproject),
        python=_python(pyproject),
        repository=_repository(root),
    )


def _pyproject(root: Path) -> dict[str, Any]:
    path = root / PYPROJECT
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"the configuration in {path}", str(error), [f"correct {path}"]) from None


def _ask_pytest(root: Path) -> Configuration:
    """What pytest reads in the root: which file it takes, and what that says, is its own business."""
    read = configuration.read(root, (), os.environ)
    if read.problem:
        raise SettingError(f"pytest's configuration in {root}", read.problem, ["mend what it says: pytest cannot run"])
    return read


def _configures(file: Path | None, root: Path, pyproject: dict[str, Any]) -> bool:
    """Whether a file is the root's own; pytest also takes a pyproject.toml that says nothing of pytest."""
    if file is None or file.parent != root:
        return False
    return file.name != PYPROJECT or bool(pyproject.get("tool", {}).get("pytest"))


def _configures_from_above(file: Path | None, root: Path) -> bool:
    return file is not None and file.parent != root and _configures(file, file.parent, _pyproject(file.parent))


def _tests(root: Path, configured: Sequence[str]) -> Path:
    """The directory of the tests on a database, there or to be made; one that pytest looks into."""
    places = [Path(name) for name in configured if (root / name).is_dir() and not Path(name).is_absolute()]
    for directory in places or [Path("tests"), Path("test")]:
        for place in (directory / "integration", directory):
            if (root / place).is_dir():
                return place
    return Path("tests")


def _first_test(patterns: Sequence[str]) -> str:
    """The name of the first test, by which pytest knows that it is one."""
    if any(fnmatch(_FIRST_TEST, pattern) for pattern in patterns):
        return _FIRST_TEST
    named = (pattern.replace("*", "postgres") for pattern in patterns)
    return next((name for name in named if name.endswith(".py")), _FIRST_TEST)


def _packages(root: Path) -> tuple[str, ...]:
    """The top-level packages, in the root or in `src`."""
    for directory in (root / "src", root):
        found = sorted(path.parent.name for path in directory.glob("*/__init__.py"))
        named = tuple(name for name in found if name not in _NO_PACKAGES)
        if named:
            return named
    return ()


def _is_built(root: Path, pyproject: dict[str, Any]) -> bool:
    return (root / "setup.py").is_file() or "build-system" in pyproject


def _install(root: Path, pyproject: dict[str, Any]) -> str:
    """What makes the project importable where it is tested."""
    if _is_built(root, pyproject):
        return "--editable ."
    files = [path.name for path in sorted(root.glob("requirements*.txt"))]
    return " ".join(f"--requirement {shlex.quote(name)}" for name in files)


def _pythonpath(root: Path, pyproject: dict[str, Any]) -> str | None:
    if _is_built(root, pyproject):
        return None
    if any((root / "src").glob("*/__init__.py")):
        return "src"
    # A package of that name would hide Alembic itself.
    return None if (root / "alembic/__init__.py").exists() else "."


def _python(pyproject: dict[str, Any]) -> str:
    try:
        admitted = SpecifierSet(str(pyproject.get("project", {}).get("requires-python", "")))
    except InvalidSpecifier:
        return _PYTHONS[0]
    return next((version for version in _PYTHONS if admitted.contains(f"{version}.99")), _PYTHONS[0])


def _repository(root: Path) -> Path | None:
    if (root / ".git").exists():
        return None
    return next((parent for parent in root.parents if (parent / ".git").exists()), None)
