"""Which files of SQL there are, and in which order they are run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePath

from pytest_pristine.errors import StepConfigError

# The way down: golang-migrate, sqlx, diesel, yoyo and others name it so.
_DOWN = re.compile(r"(?:.*[._])?(?:down|undo|rollback)\.sql", re.IGNORECASE)
# Flyway: V for a version, B for a base of all versions up to it, R for what is run after them, U for undoing.
_FLYWAY = re.compile(r"([VBRU])([\d._]*?)__(.*)\.sql", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)")
_WILDCARD = re.compile(r"[*?\[]")


def files(path: str, root: Path) -> list[Path]:
    """The files, in order.

    Args:
        path: A file, a directory, or a pattern such as `db/*.sql`, relative to the root.
        root: The project's root.

    Raises:
        StepConfigError: There is none.
    """
    place = root / path
    if place.is_file():
        return [place]
    if not place.exists() and _WILDCARD.search(path) is not None:
        found = [each for each in root.glob(path) if each.is_file()]
    else:
        found = [each for each in place.rglob("*.sql") if not _is_hidden(each.relative_to(place))]
        root = place
    in_order = order(each.relative_to(root) for each in found)
    if not in_order:
        what = "no such file or directory" if not place.exists() else "no file *.sql in it, or only ways down"
        raise StepConfigError(
            f"files of SQL: {place}", what, ["correct the path; it is relative to the project's root"]
        )
    return [root / each for each in in_order]


def order(paths: Iterable[PurePath]) -> list[PurePath]:
    """Those that lead up, in order: 2 before 10, a directory's files together, and Flyway's as Flyway has them."""
    up = [path for path in paths if _DOWN.fullmatch(path.name) is None]
    if any(_version(path) for path in up):
        return _in_flyways_order(up)
    return sorted(up, key=lambda path: ([_natural(part) for part in path.parts], path.parts))


def _in_flyways_order(paths: Iterable[PurePath]) -> list[PurePath]:
    """Versions by their numbers, whatever directory they are in, from the last base on; then what is repeatable."""
    kinds: dict[str, list[PurePath]] = {"V": [], "B": [], "R": [], "U": []}
    for path in paths:
        match = _FLYWAY.fullmatch(path.name)
        if match is not None:
            kinds[match[1].upper()].append(path)
    base = sorted(kinds["B"], key=_version)[-1:]
    versions = sorted(kinds["V"], key=_version)
    later = [path for path in versions if not base or _version(path) > _version(base[0])]
    return [*base, *later, *sorted(kinds["R"], key=lambda path: path.name)]


def _version(path: PurePath) -> list[int]:
    """The numbers of a version of Flyway's; empty for any other file."""
    match = _FLYWAY.fullmatch(path.name)
    return [] if match is None or match[1].upper() not in "VB" else [int(each) for each in _NUMBER.findall(match[2])]


def _natural(text: str) -> list[str | int]:
    """A key by which 2 comes before 10. Texts and numbers alternate in it."""
    return [int(part) if number % 2 else part.lower() for number, part in enumerate(_NUMBER.split(text))]


def _is_hidden(path: PurePath) -> bool:
    return any(part.startswith(".") for part in path.parts)
