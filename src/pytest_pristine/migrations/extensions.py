"""The extensions that a project's migrations create, read from their text.

It is known before there is a server, so that one can be chosen that has them. What is not found here, because its name
is computed, is named by the server when the migration fails; what is created on some condition only is found all the
same. The setting `pristine_extensions` overrules both.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pytest_pristine.errors import AlembicConfigError
from pytest_pristine.migrations import locate
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.servers.needs import Extension
from pytest_pristine.settings import Settings

_CREATE = re.compile(r"\bCREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:\"([^\"]+)\"|([A-Za-z_]\w*))", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
# What every server has.
_EVERYWHERE = "plpgsql"


def of_project(root: Path, settings: Settings) -> tuple[Extension, ...]:
    """What the migrations that the settings describe create; nothing where there are none.

    Args:
        root: pytest's root directory.
        settings: The settings.
    """
    try:
        scripts = Alembic(locate.alembic_config(root, settings.alembic_config), root).scripts()
    except AlembicConfigError:
        return ()  # whoever needs migrations is told; a project may well override `apply_migrations`
    return tuple(created_in(scripts, root))


def created_in(scripts: Path, root: Path) -> list[Extension]:
    """The extensions that the files below a directory create, each with the first that does.

    Args:
        scripts: The script directory.
        root: Paths are told relative to it.
    """
    found: dict[str, Extension] = {}
    for path in sorted((*scripts.rglob("*.py"), *scripts.rglob("*.sql"))):
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        for name, by in _created_by(path, str(shown)):
            if name != _EVERYWHERE:
                found.setdefault(name, Extension(name, by))
    return list(found.values())


def _created_by(path: Path, shown: str) -> Iterator[tuple[str, str]]:
    text = path.read_text(encoding="utf-8", errors="replace")
    if "extension" not in text.lower():
        return
    if path.suffix == ".sql":
        yield from ((name, shown) for name in named_in(text))
        return
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return  # Alembic will say so
    revision = _revision(tree)
    by = shown if revision is None else f"revision {revision} in {shown}"
    yield from ((name, by) for statement in _strings(tree) for name in named_in(statement))


def named_in(sql: str) -> Iterator[str]:
    """The names of the extensions that a text of SQL creates."""
    for quoted, plain in _CREATE.findall(_COMMENT.sub(" ", sql)):
        yield quoted or plain.lower()


def _revision(tree: ast.Module) -> str | None:
    """The value that the module gives its variable `revision`."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                for name, value in _pairs(target, node.value):
                    if isinstance(name, ast.Name) and name.id == "revision" and isinstance(value, ast.Constant):
                        return str(value.value)
    return None


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    """What is assigned to what: in `a, b = 1, 2` there are two pairs."""
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        yield from zip(target.elts, value.elts, strict=False)
    else:
        yield target, value


def _strings(node: ast.AST) -> Iterator[str]:
    """All texts of the program but docstrings and those of `downgrade`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and child.name == "downgrade":
            continue
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value
        else:
            yield from _strings(child)
