"""What a process reads while it migrates: files, directories, and the modules that it imports."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from pytest_pristine.migrations import fingerprint

# Modules through which a directory is listed on behalf of others.
_HELPERS = re.compile(r"(os|glob|pathlib(\.\w+)*|alembic\.util\.compat)")


class Read:
    """Records which files and directories this process reads, until it is told to stop.

    Attributes:
        files: The files.
        directories: The directories whose names were read.
        held: Files that were read while revisions were loaded, or ran.
        listed: Directories that Alembic alone has listed, to find revisions.
    """

    def __init__(self) -> None:
        self.files: set[Path] = set()
        self.directories: set[Path] = set()
        self.held: set[Path] = set()
        self.listed: set[Path] = set()
        self._by_others: set[Path] = set()
        self._holds = False
        self.listens = True
        sys.addaudithook(self._hear)

    def record(self, root: Path, further: tuple[Path, ...] = ()) -> dict[str, str]:
        """What was read until now, with digests; see `fingerprint.record`.

        Args:
            root: The project's root.
            further: Files that were read besides, and are no modules of the import system's.
        """
        return fingerprint.record(root, _module_files(), {*self.files, *further}, self.directories)

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Take what is read meanwhile for what revisions read."""
        self._holds = True
        try:
            yield
        finally:
            self._holds = False

    def stop(self) -> None:
        """Hear no more. The hook itself cannot be removed."""
        self.listens = False

    def _hear(self, name: str, arguments: tuple[Any, ...]) -> None:
        # Either may be given a file descriptor instead of a path: of something that was opened before.
        if not self.listens or not arguments or not isinstance(arguments[0], str):
            return
        if name == "open":
            path, _, flags = arguments
            if not (isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)):
                self.files.add(Path(path).absolute())
                if self._holds:
                    self.held.add(Path(path).absolute())
        elif name in ("os.listdir", "os.scandir") and not _is_import():
            self._list(Path(arguments[0]).absolute(), sys._getframe(1))  # noqa: SLF001 - the documented way

    def _list(self, directory: Path, frame: FrameType | None) -> None:
        self.directories.add(directory)
        if _is_alembic(frame) and directory not in self._by_others:
            self.listed.add(directory)
        else:
            self._by_others.add(directory)
            self.listed.discard(directory)


def _is_import() -> bool:
    """Whether it is the import system that lists a directory, to find a module whose file is recorded by itself."""
    return sys._getframe(2).f_code.co_filename.startswith("<frozen importlib")  # noqa: SLF001 - the documented way


def _is_alembic(frame: FrameType | None) -> bool:
    """Whether it is Alembic that lists a directory."""
    while frame is not None and _HELPERS.fullmatch(str(frame.f_globals.get("__name__"))):
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == "alembic.script.base"


def _module_files() -> list[Path]:
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return [Path(file) for file in files if file and file.endswith(".py")]
