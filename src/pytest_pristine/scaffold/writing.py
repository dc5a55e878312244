"""Writing the files of a plan: all or none, and none that is there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
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
                _write(root / change.path, change, undo)
            except OSError as error:
                raise SettingError(
                    f"to write {root / change.path}", error.strerror or str(error), ["mend that; nothing was written"]
                ) from None
        undo.pop_all()


def _write(path: Path, change: Change, undo: contextlib.ExitStack) -> None:
    if change.before is not None:
        if path.read_bytes() != change.before:
            raise OSError("somebody changed it meanwhile")
        undo.callback(_as_far_as_possible, path.write_bytes, change.before)
        path.write_bytes(change.after)
        return
    for directory in reversed([path.parent, *path.parent.parents]):
        if not directory.exists():
            directory.mkdir()
            undo.callback(_as_far_as_possible, directory.rmdir)
    with path.open("xb") as file:  # never one that is there
        undo.callback(_as_far_as_possible, path.unlink)
        file.write(change.after)


def _as_far_as_possible(step: Callable[..., object], *arguments: object) -> None:
    """Take a step back. What cannot be taken back must not hide why it was to be, nor keep the rest."""
    with contextlib.suppress(OSError):
        step(*arguments)
