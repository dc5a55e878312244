"""What a project has: where its migrations, its tests, its packages and pytest's configuration are."""

from __future__ import annotations

import configparser
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pytest_pristine.errors import SettingError
from pytest_pristine.migrations import locate
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.settings import DEFAULT, OPTION, Value

_NO_PACKAGES = frozenset({"tests", "test", "docs", "examples", "build", "dist", "migrations", "alembic"})
# Words by which an env.py takes its database from where we put it.
_TAKES_OURS = re.compile(r"attributes|sqlalchemy\.url|get_section|engine_from_config")
_SECTIONS = {"pytest.ini": "pytest", ".pytest.ini": "pytest", "tox.ini": "pytest", "setup.cfg": "tool:pytest"}
PYPROJECT = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class Project:
    """A project as it is found. Paths are relative to its root.

    Attributes:
        root: Its root directory.
        alembic: Its alembic.ini.
        found_by_itself: The plugin finds that one without being told.
        env_py: Its env.py, if it seems to take its database from elsewhere than from Alembic's configuration.
        configuration: The file that configures pytest; None when there is none.
        tests: The directory of its tests, there or to be made.
        packages: The packages whose coverage is to be measured.
        install: What installs it, as arguments of pip.
    """

    root: Path
    alembic: Path
    found_by_itself: bool
    env_py: Path | None
    configuration: Path | None
    tests: Path
    packages: tuple[str, ...]
    install: str


def look(root: Path, alembic: str | None = None) -> Project:
    """Look at the project in a directory, and change nothing.

    Args:
        root: Its root.
        alembic: The path of its alembic.ini, if it is not to be found.

    Raises:
        AlembicConfigError: There is no alembic.ini, or there are several and none was named.
        SettingError: A configuration file cannot be read.
    """
    named = Value(alembic, OPTION, "--alembic-config") if alembic else Value[str | None](None, DEFAULT, DEFAULT)
    config = locate.alembic_config(root, named)
    env_py = Alembic(config, root).scripts() / "env.py"
    ignores = env_py.is_file() and not _TAKES_OURS.search(env_py.read_text(encoding="utf-8", errors="replace"))
    return Project(
        root, _relative(config, root), alembic is None, _relative(env_py, root) if ignores else None,
        _configuration(root), _tests(root), _packages(root), _install(root),
    )  # fmt: skip


def _configuration(root: Path) -> Path | None:
    """The file from which pytest takes its configuration, by pytest's own order."""
    for name in ("pytest.ini", ".pytest.ini"):
        if (root / name).is_file():
            return Path(name)
    if "ini_options" in _tool(root).get("pytest", {}):
        return Path(PYPROJECT)
    for name in ("tox.ini", "setup.cfg"):
        if _SECTIONS[name] in _ini(root / name).sections():
            return Path(name)
    return None


def section(configuration: Path) -> str:
    """The section of a configuration file that is pytest's."""
    return _SECTIONS.get(configuration.name, "tool.pytest.ini_options")


def _tool(root: Path) -> dict[str, dict[str, object]]:
    path = root / PYPROJECT
    if not path.is_file():
        return {}
    try:
        tables: dict[str, dict[str, object]] = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"the configuration in {path}", str(error), [f"correct {path}"]) from None
    return tables


def _ini(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise SettingError(f"the configuration in {path}", str(error), [f"correct {path}"]) from None
    return parser


def _tests(root: Path) -> Path:
    for name in ("tests/integration", "tests", "test"):
        if (root / name).is_dir():
            return Path(name)
    return Path("tests")


def _packages(root: Path) -> tuple[str, ...]:
    """The top-level packages, in the root or in `src`."""
    for directory in (root / "src", root):
        found = sorted(path.parent.name for path in directory.glob("*/__init__.py"))
        named = tuple(name for name in found if name not in _NO_PACKAGES)
        if named:
            return named
    return ()


def _install(root: Path) -> str:
    """What makes the project importable where it is tested."""
    if (root / "setup.py").is_file() or _has_build_system(root):
        return "--editable ."
    files = [path.name for path in sorted(root.glob("requirements*.txt"))]
    return " ".join(f"--requirement {name}" for name in files)


def _has_build_system(root: Path) -> bool:
    path = root / PYPROJECT
    return path.is_file() and "build-system" in tomllib.loads(path.read_text(encoding="utf-8"))


def _relative(path: Path, root: Path) -> Path:
    path = path.absolute()
    return path.relative_to(root) if path.is_relative_to(root) else path
