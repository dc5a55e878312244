"""What the source of a revision tells: whether what it does may depend on more than its own file and the database."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from pytest_pristine.migrations import fingerprint

# Names by which code reaches what it did not import, or what others decide.
_REACHING = frozenset({
    "__import__", "importlib", "import_module", "exec", "eval", "compile", "globals", "modules", "environ", "getenv",
    "config", "attributes", "opts", "target_metadata", "environment_context",
})  # fmt: skip
# Names by which code reaches the driver, whose statements nobody sees.
_PAST = frozenset(
    {"cursor", "raw_connection", "driver_connection", "dbapi_connection", "psycopg", "psycopg2", "asyncpg"}
)
# Names by which code finds out what may be another time, and leaves no file that was read: variables, whether
# something is there, the last of all revisions, other programs.
_AROUND = frozenset({
    "environ", "getenv", "exists", "is_file", "isfile", "is_dir", "isdir", "script", "get_head_revision",
    "get_head_revisions", "get_revision_argument", "subprocess", "system", "popen", "Popen", "posix_spawn",
})  # fmt: skip


def looks_around(path: Path) -> bool:
    """Whether what a revision does may depend on what nobody records."""
    tree = _read(path)
    return tree is None or not _AROUND.isdisjoint(_names(tree))


def reaches_application(path: Path) -> bool:
    """Whether what a revision does may depend on modules of the project's."""
    tree = _read(path)
    if tree is None or not _REACHING.isdisjoint(_names(tree)):
        return True
    return any(map(_is_own, _imported(tree)))


def goes_past_sqlalchemy(path: Path) -> bool:
    """Whether code may execute statements on a connection of the driver's."""
    tree = _read(path)
    return tree is None or not _PAST.isdisjoint(_names(tree))


def _read(path: Path) -> ast.Module | None:
    """The source; None where there is none."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return None


def _names(tree: ast.Module) -> Iterator[str]:
    """All names in it, but for those in texts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")


def _imported(tree: ast.Module) -> Iterator[str]:
    """The top-level names of the modules that it imports anywhere; an empty one for its own package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "" if node.level else str(node.module).partition(".")[0]


def _is_own(name: str) -> bool:
    """Whether a module is neither installed nor of the standard library; so is one that is not found."""
    if name in sys.stdlib_module_names:
        return False
    module = sys.modules.get(name)
    try:
        spec = getattr(module, "__spec__", None) or importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return True
    if spec is None:
        return True
    places = [*(spec.submodule_search_locations or []), *([spec.origin] if spec.has_location and spec.origin else [])]
    return not places or not all(fingerprint.is_installed(Path(place)) for place in places)
