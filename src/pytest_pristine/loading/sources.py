"""The modules that a function is made of: its own, and those of the project that this one imports, in turn.

A process that runs tests has imported a great deal that the function knows nothing of, and another run imports less. So
it is read in the sources what imports what, and looked up among what is imported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from pytest_pristine.migrations import fingerprint


class Origin(NamedTuple):
    """Where something was written.

    Attributes:
        file: The module's source.
        package: The package that the module's relative imports begin with.
    """

    file: Path
    package: str


def origin(module: ModuleType) -> Origin | None:
    """Where a module was written; None for one without a source in Python."""
    file = getattr(module, "__file__", None)
    return Origin(Path(file), getattr(module, "__package__", None) or "") if file and file.endswith(".py") else None


def of_modules(names: Iterable[str]) -> list[Origin]:
    """Where modules that are imported were written, as far as they have a source in Python."""
    modules = filter(None, map(sys.modules.get, names))
    return [found for found in map(origin, modules) if found is not None]


def reached(origins: Iterable[Origin]) -> list[Path]:
    """The sources of modules and of all that they import; what is installed is named, and not gone into."""
    pending, seen = list(origins), set[Path]()
    while pending:
        each = pending.pop()
        if each.file in seen:
            continue
        seen.add(each.file)
        if not fingerprint.is_installed(each.file):
            pending += of_modules(_with_parents(_imported(each)))
    return sorted(seen)


def _imported(each: Origin) -> Iterator[str]:
    """The names that a module may import, wherever in it that is written; not all of them are modules."""
    try:
        tree = ast.parse(each.file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # it was changed since it was imported: whoever comes next sees another digest
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = each.package.split(".")[: max(len(each.package.split(".")) - node.level + 1, 0)]
            base = ".".join(filter(None, [*(parts if node.level else []), node.module or ""]))
            yield base
            yield from (f"{base}.{alias.name}" if base else alias.name for alias in node.names)


def _with_parents(names: Iterable[str]) -> set[str]:
    """Names of modules, with the packages that are imported before them."""
    found: set[str] = set()
    for name in names:
        parts = name.split(".")
        found.update(".".join(parts[:length]) for length in range(1, len(parts) + 1))
    return found
