"""What a process reads while it migrates: files, directories, and the modules that it imports."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from pytest_pristine.migrations import fingerprint


class Read:
    """Records which files and directories this process reads, until it is told to stop."""

    def __init__(self) -> None:
        self.files: set[Path] = set()
        self.directories: set[Path] = set()
        self.listens = True
        sys.addaudithook(self._hear)

    def record(self, root: Path, further: tuple[Path, ...] = ()) -> dict[str, str]:
        """What was read until now, with digests; see `fingerprint.record`.

        Args:
            root: The project's root.
            further: Files that were read besides, and are no modules of the import system's.
        """
        return fingerprint.record(root, _module_files(), {*self.files, *further}, self.directories)

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
        elif name in ("os.listdir", "os.scandir") and not _is_import():
            self.directories.add(Path(arguments[0]).absolute())


def _is_import() -> bool:
    """Whether it is the import system that lists a directory, to find a module whose file is recorded by itself."""
    return sys._getframe(2).f_code.co_filename.startswith("<frozen importlib")  # noqa: SLF001 - the documented way


def _module_files() -> list[Path]:
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return [Path(file) for file in files if file and file.endswith(".py")]
