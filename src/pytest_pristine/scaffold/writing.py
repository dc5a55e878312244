"""Writing the files of a plan: all or none, and none that is there."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from pytest_pristine.errors import SettingError
from pytest_pristine.scaffold.plan import Change


def write(root: Path, changes: Sequence[Change]) -> None:
    """Write the files; if one cannot be written, those before it are taken back.

    Raises:
        SettingError: A file cannot be written, or is no longer as it was when the plan was made.
    """
    with contextlib.ExitStack() as undo:
        for change in changes:
            try:
                _write(root, change, undo)
            except OSError as error:
                raise SettingError(
                    f"to write {root / change.path}", f"{error.strerror or error}", ["mend that; nothing was written"]
                ) from None
        undo.pop_all()


def _write(root: Path, change: Change, undo: contextlib.ExitStack) -> None:
    path = root / change.path
    if change.before is not None:
        if path.read_bytes() != change.before:
            raise OSError(f"somebody changed {path} meanwhile")
        undo.callback(path.write_bytes, change.before)
        path.write_bytes(change.after)
        return
    for directory in reversed([path.parent, *path.parent.parents]):
        if not directory.exists():
            directory.mkdir()
            undo.callback(directory.rmdir)
    with path.open("xb") as file:  # never one that is there
        undo.callback(path.unlink)
        file.write(change.after)
