"""A digest of a project's files: what another program may read, of which nobody tells what it does read."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from pytest_pristine.migrations import fingerprint

# Directories that hold no sources: installed, built or written by tools.
_NOT_OURS = frozenset({"node_modules", "site-packages", "__pycache__", "build", "dist", "htmlcov"})
# Files that decide no schema, and change from run to run: tests, and what programs write.
_NO_MATTER = (
    "test_*.py",
    "*_test.py",
    "conftest.py",
    "*.pyc",
    "*.pyo",
    "*.log",
    "*.pid",
    "*.sqlite*",
    "*.db",
    "*.db-*",
)
# Bytes up to which a file is read. Of a larger one size and time of change count, as `make` has it.
_READ = 1 << 20


def digest(root: Path, path: Iterable[str]) -> str:
    """A digest of the project below its root, and of what it imports from elsewhere that is not installed.

    Args:
        root: The project's root.
        path: Where modules are imported from.
    """
    here = root.resolve()
    # A directory above the root would be somebody's whole home, in the worst case.
    elsewhere = [
        Path(real)
        for entry in fingerprint.own_directories(path)
        if not (real := Path(entry).resolve()).is_relative_to(here) and not here.is_relative_to(real)
    ]
    return fingerprint.text_digest(line for place in (here, *elsewhere) for line in _lines(place))


def of_paths(paths: Iterable[Path]) -> str:
    """A digest of files and directories that were named."""
    return fingerprint.text_digest(
        line for path in paths for line in (_lines(path) if path.is_dir() else [_line(path)])
    )


def _lines(directory: Path) -> Iterator[str]:
    """A line for each file below a directory."""
    for here, folders, names in os.walk(directory):
        folders[:] = sorted(name for name in folders if not _is_left_out(Path(here) / name))
        for name in sorted(names):
            if not any(fnmatch(name, pattern) for pattern in _NO_MATTER):
                path = Path(here) / name
                yield f"{path.relative_to(directory).as_posix()} {_line(path)}"


def _is_left_out(directory: Path) -> bool:
    name = directory.name
    # pathlib raises where we may not enter the directory.
    return name.startswith(".") or name in _NOT_OURS or os.path.exists(directory / "pyvenv.cfg")  # noqa: PTH110


def _line(path: Path) -> str:
    """What tells a file from another, or from itself before it was changed."""
    try:
        found = path.stat()
    except OSError:
        return "missing"
    if not stat.S_ISREG(found.st_mode):
        return "no file"
    if found.st_size > _READ:
        return f"{found.st_size} {found.st_mtime_ns}"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return "unreadable"
