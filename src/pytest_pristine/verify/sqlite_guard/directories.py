"""The directories of notes: each is named for its process, and removed by a later run when that was killed."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_pristine import operating_system

_PREFIX = "pristine-sqlite-"
_NAMES = re.compile(rf"{_PREFIX}(\d+)-(\d+)-\w+")


def make() -> str:
    """Make the directory of this process, and remove those whose process is no more."""
    for path in left():
        shutil.rmtree(path, ignore_errors=True)
    return tempfile.mkdtemp(prefix=f"{_PREFIX}{_namespace()}-{os.getpid()}-")


def left() -> Iterator[Path]:
    """The directories of this user that processes left here which were killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        match = _NAMES.fullmatch(path.name)
        if match is not None and match[1] == _namespace() and _is_ours(path) and not _runs(int(match[2])):
            yield path


def _namespace() -> str:
    """What tells the processes of this machine from those of a container that shares its directory."""
    if sys.platform != "linux":
        return "0"
    try:
        return "".join(filter(str.isdecimal, os.readlink("/proc/self/ns/pid"))) or "0"  # noqa: PTH115 - no path
    except OSError:
        return "0"


def _is_ours(path: Path) -> bool:
    """Whether it is a directory of this user's; it may be gone by now."""
    try:
        return path.is_dir() and not path.is_symlink() and operating_system.reason_not_owned(path, None) is None
    except OSError:
        return False


def _runs(pid: int) -> bool:
    import psutil  # most runs find no directory but their own

    return psutil.pid_exists(pid)
