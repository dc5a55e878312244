"""What a schema depends on, as digests.

A build of a schema is reused as long as nothing changed that it was made from. What is known beforehand (the script
directory, the configuration) goes into its name. What turns out while it is made (the application's modules that
env.py imports, the SQL files that a revision reads, the versions of the packages involved) is recorded with it and
compared before it is used again: the scheme of a compiler cache.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import re
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

# Each input with its digest: "file:models.py" -> "9f86d081884c7d65", "package:procrastinate" -> "3.10.0".
Inputs: TypeAlias = Mapping[str, str]

_FILE = "file:"
_DIRECTORY = "directory:"
_PACKAGE = "package:"
_MISSING = "missing"
# Hexadecimal digits kept of a file's digest.
_DIGITS = 16
_CHUNK = 1 << 20


def file_digest(path: Path) -> str:
    """The digest of a file's content; a word of its own for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]
    except OSError:
        return _MISSING


def tree_digest(directory: Path) -> str:
    """The digest of all files below a directory, compiled Python left out."""
    files = sorted(
        path
        for path in directory.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".pyc", ".pyo")
    )
    lines = (f"{path.relative_to(directory).as_posix()} {file_digest(path)}" for path in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:_DIGITS]


def listing_digest(directory: Path) -> str:
    """The digest of the names in a directory, compiled Python left out; a word of its own if it cannot be read."""
    try:
        names = sorted(name for name in os.listdir(directory) if name != "__pycache__")  # noqa: PTH208 - names alone
    except OSError:
        return _MISSING
    return hashlib.sha256("\0".join(names).encode()).hexdigest()[:_DIGITS]


def record(root: Path, modules: Iterable[Path], opened: Iterable[Path], listed: Iterable[Path] = ()) -> dict[str, str]:
    """Tell what a finished migration read.

    Args:
        root: The project's root; files below it are recorded by relative path, so that another checkout may use the
            result.
        modules: Source files of all modules that were imported.
        opened: Files that were opened for reading.
        listed: Directories whose names were read.

    Returns:
        First-party files and directories, each with its digest, and installed packages, each with its version.
    """
    installed = _installed_directories()
    modules = {path.resolve() for path in modules}
    packages = {top for path in modules if (top := _top_level(path)) is not None}
    first_party = {path for path in modules if not _below(path, installed)}
    first_party |= {path for path in _own(opened, root, installed) if path.suffix not in (".pyc", ".pyo")}
    inputs = {_FILE + _relative(path, root): file_digest(path) for path in first_party if path.is_file()}
    inputs |= {_DIRECTORY + _relative(path, root): listing_digest(path) for path in _own(listed, root, installed)}
    return inputs | {_PACKAGE + name: version for name, version in _packages(packages).items()}


def _own(paths: Iterable[Path], root: Path, installed: Iterable[Path]) -> set[Path]:
    """Those of the paths that are the project's."""
    return {path for path in map(Path.resolve, paths) if _below(path, [root]) and not _below(path, installed)}


def unchanged(inputs: Inputs, root: Path) -> bool:
    """Whether everything recorded is as it was."""
    return all(digest == _now(key, root) for key, digest in inputs.items())


def _now(key: str, root: Path) -> str:
    if key.startswith(_DIRECTORY):
        return listing_digest(root / key.removeprefix(_DIRECTORY))
    if key.startswith(_FILE):
        return file_digest(root / key.removeprefix(_FILE))
    return _versions().get(key.removeprefix(_PACKAGE), _MISSING)


def _packages(top_levels: Iterable[str]) -> dict[str, str]:
    """The versions of the packages that top-level modules belong to."""
    distributions = importlib.metadata.packages_distributions()
    names = {_normalise(name) for top in top_levels for name in distributions.get(top, ())}
    return {name: version for name, version in _versions().items() if name in names}


@functools.cache
def _versions() -> Mapping[str, str]:
    """The version of every package there is, told by the names of directories: nothing need be opened."""
    found: dict[str, str] = {}
    # The first on the path is the one that is imported.
    for directory in map(Path, reversed(sys.path)):
        for path in directory.glob("*.dist-info"):
            name, _, version = path.stem.partition("-")
            found[_normalise(name)] = version
    return found


def _normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _installed_directories() -> list[Path]:
    """Where installed packages and the standard library are: what is elsewhere is the project's own.

    The prefixes themselves are not: a project may lie below /usr, or share its directory with its environment.
    """
    names = ("stdlib", "platstdlib", "purelib", "platlib", "scripts", "include")
    paths = {site.getusersitepackages(), *site.getsitepackages(), *map(sysconfig.get_path, names)}
    return [Path(path).resolve() for path in paths]


def _top_level(path: Path) -> str | None:
    """The name of the installed package that a module belongs to; None for all other modules."""
    libraries = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), site.getusersitepackages()}
    for library in map(Path, libraries):
        if _below(path, [library.resolve()]):
            return path.relative_to(library.resolve()).parts[0].removesuffix(".py")
    return None


def _below(path: Path, directories: Iterable[Path]) -> bool:
    return any(path.is_relative_to(directory) for directory in directories)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()
