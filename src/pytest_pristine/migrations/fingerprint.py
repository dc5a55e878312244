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
    return text_digest(f"{path.relative_to(directory).as_posix()} {file_digest(path)}" for path in files)


def text_digest(lines: Iterable[str]) -> str:
    """The digest of some lines of text."""
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]


def packages_digest() -> str:
    """The digest of all installed packages and their versions."""
    return text_digest(f"{name} {version}" for name, version in sorted(_versions().items()))


def own_directories(path: Iterable[str]) -> list[str]:
    """The directories of an import path in which nothing is installed: where the project's own modules are."""
    return [entry for entry in path if os.path.isdir(entry) and not is_installed_directory(entry)]  # noqa: PTH112 - texts


def is_installed_directory(entry: str) -> bool:
    """Whether a directory is one of installed packages, or of the standard library."""
    real = os.path.realpath(entry)
    return real in _installed_directories() or _is_installed(real)


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
    sources = {os.path.realpath(path) for path in modules}
    packages = {top for path in sources if (top := _top_level(path)) is not None}
    files = {path for path in sources if os.path.isfile(path) and not _is_installed(path)}  # noqa: PTH113 - texts here
    files |= {path for path in _own(opened, root) if not path.endswith((".pyc", ".pyo"))}
    # A file that was looked for and is missing counts too: it may appear.
    found = {_FILE + _relative(path, root): file_digest(Path(path)) for path in files}
    found |= {_DIRECTORY + _relative(path, root): listing_digest(Path(path)) for path in _own(listed, root)}
    return found | {_PACKAGE + name: version for name, version in _packages(packages).items()}


def _own(paths: Iterable[Path], root: Path) -> set[str]:
    """Those of the paths that are the project's."""
    real = {os.path.realpath(path) for path in paths}
    return {path for path in real if _is_below(path, str(root)) and not _is_installed(path)}


def is_own(path: str, root: Path) -> bool:
    """Whether a file is the project's."""
    return bool(_own([Path(path)], root))


def is_installed(path: Path) -> bool:
    """Whether a file is the standard library's or an installed package's."""
    return _is_installed(os.path.realpath(path))


def file_key(path: Path, root: Path) -> str:
    """What a file is called among the inputs."""
    return _FILE + _relative(os.path.realpath(path), root)


def directory_key(path: Path, root: Path) -> str:
    """What a directory is called among the inputs."""
    return _DIRECTORY + _relative(os.path.realpath(path), root)


def is_module(key: str) -> bool:
    """Whether an input is a source file of Python."""
    return key.startswith(_FILE) and key.endswith(".py")


def is_directory(key: str) -> bool:
    """Whether an input is the names in a directory."""
    return key.startswith(_DIRECTORY)


def is_package(key: str) -> bool:
    """Whether an input is an installed package."""
    return key.startswith(_PACKAGE)


def path_of(key: str, root: Path) -> Path:
    """Where the file is that an input is."""
    return root / key.removeprefix(_FILE)


def unchanged(inputs: Inputs, root: Path) -> bool:
    """Whether everything recorded is as it was."""
    return all(digest == _now(key, root) for key, digest in inputs.items())


def changed(inputs: Inputs, root: Path) -> set[str]:
    """What is not as it was."""
    return {key for key, digest in inputs.items() if digest != _now(key, root)}


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


# There are many paths and few directories: both are compared as texts, which is fifty times as fast as pathlib does it.


@functools.cache
def _installed_directories() -> tuple[str, ...]:
    """Where installed packages and the standard library are: what is elsewhere is the project's own.

    The prefixes themselves are not: a project may lie below /usr, or share its directory with its environment.
    """
    names = ("stdlib", "platstdlib", "scripts", "include")
    return (*_libraries(), *(os.path.realpath(sysconfig.get_path(name)) for name in names))


@functools.cache
def _libraries() -> tuple[str, ...]:
    """Where installed packages are."""
    paths = {site.getusersitepackages(), *site.getsitepackages(), *map(sysconfig.get_path, ("purelib", "platlib"))}
    return tuple(map(os.path.realpath, paths))


def _is_installed(path: str) -> bool:
    return any(_is_below(path, directory) for directory in _installed_directories())


def _top_level(path: str) -> str | None:
    """The name of the installed package that a module belongs to; None for all other modules."""
    for library in _libraries():
        if _is_below(path, library):
            return path[len(library) + 1 :].split(os.sep, 1)[0].removesuffix(".py")
    return None


def _is_below(path: str, directory: str) -> bool:
    return path.startswith(directory.rstrip(os.sep) + os.sep)


def _relative(path: str, root: Path) -> str:
    return Path(path).relative_to(root).as_posix() if _is_below(path, str(root)) else Path(path).as_posix()
