"""Revisions that were released: somebody's database has them, and what they did there no edit of theirs undoes.

They are noted in a file beside the history, a line each, as `sha256sum` has it: digest, revision, file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pytest_pristine.errors import MigrationCheckError, SettingError
from pytest_pristine.migrations import checks
from pytest_pristine.migrations.alembic import Alembic

NAME = "released.txt"
_HEADING = "# Revisions that were released, which nobody edits any more. Written by `pristine release`."


def note(migrations: Alembic) -> list[str]:
    """Note all revisions that are not yet noted; gives them, the oldest first.

    Raises:
        MigrationCheckError: One that is noted was edited or is gone: nothing is written.
        SettingError: The file cannot be written.
    """
    files = checks.history(migrations).files
    path = _path(migrations)
    known = _read(path) if path.is_file() else {}
    _compare(migrations, known)
    new = [revision for revision in files if revision not in known]
    lines = [f"{digest}  {revision}  {name}" for revision, (digest, name) in known.items()]
    lines += [f"{_digest(Path(files[revision]))}  {revision}  {Path(files[revision]).name}" for revision in new]
    if new or not path.is_file():
        try:
            path.write_text("\n".join([_HEADING, *lines, ""]), encoding="utf-8")
        except OSError as error:
            remedy = f"have {path.parent} writable, or note them where it is; nothing was noted"
            raise SettingError(f"to write {path}", error.strerror or str(error), [remedy]) from None
    return new


def unchanged(migrations: Alembic) -> None:
    """No revision was edited after it was released.

    Raises:
        MigrationCheckError: One was, or is gone, or none was noted.
    """
    path = _path(migrations)
    if not path.is_file():
        raise MigrationCheckError(
            "a note of the revisions that were released", f"no file {path}", ["pristine release, and commit the file"]
        )
    _compare(migrations, _read(path))


def _compare(migrations: Alembic, known: dict[str, tuple[str, str]]) -> None:
    files = checks.history(migrations).files
    found = list(_edited(files, known))
    if found:
        raise MigrationCheckError(
            f"released revisions as they are noted in {_path(migrations)}",
            "\n".join(found),
            [
                "put it back as it was, and write a new revision for what is to change",
                f"or, if no database has it: remove its line from {NAME}",
            ],
        )


def _edited(files: Mapping[str, str], known: dict[str, tuple[str, str]]) -> Iterator[str]:
    for revision, (digest, name) in known.items():
        if revision not in files:
            yield f"{revision} ({name}) is gone"
        elif _digest(Path(files[revision])) != digest:
            yield f"{revision} ({name}) was edited"


def _path(migrations: Alembic) -> Path:
    return migrations.scripts() / NAME


def _read(path: Path) -> dict[str, tuple[str, str]]:
    """Digest and file of each revision.

    Raises:
        MigrationCheckError: A line is none of ours.
    """
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        digest, _, rest = line.partition("  ")
        revision, _, name = rest.partition("  ")
        if not (digest and revision and name):
            raise MigrationCheckError(
                f"digest, revision and file in each line of {path}", f"line {number}: {line}", ["mend the line"]
            )
        found[revision] = (digest, name)
    return found


def _digest(path: Path) -> str:
    """The digest of a file's text, whatever ends its lines: a checkout may change that."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
