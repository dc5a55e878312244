"""The extensions that a project's migrations create, read from their text.

It is known before there is a server, so that one can be chosen that has them. What is not found here, because its name
is computed, is named by the server when the migration fails; what is created on some condition only is found all the
same. The setting `pristine_extensions` overrules both.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_pristine.errors import MigrationError
from pytest_pristine.migrations import chosen, extension_names
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.migrations.sql_files import SqlFiles
from pytest_pristine.migrations.steps import Steps
from pytest_pristine.servers.needs import Extension
from pytest_pristine.settings import Settings

# What every server has.
_EVERYWHERE = "plpgsql"


def of_project(root: Path, settings: Settings) -> tuple[Extension, ...]:
    """What the migrations that the settings describe create; nothing where there are none.

    Args:
        root: pytest's root directory.
        settings: The settings.
    """
    try:
        return tuple(created_by(chosen.of_settings(root, settings), root))
    except MigrationError:
        return ()  # whoever needs migrations is told; a project may well override `apply_migrations`


def created_by(migrator: Migrator, root: Path) -> list[Extension]:
    """What a migrator creates, as far as its files tell.

    Args:
        migrator: The migrator.
        root: Paths are told relative to it.

    Raises:
        MigrationError: Its files cannot be found.
    """
    if isinstance(migrator, Steps):
        return [extension for step in migrator.steps for extension in created_by(step, root)]
    if isinstance(migrator, Alembic):
        return created_in(migrator.scripts(), root)
    return _created(migrator.files(), root) if isinstance(migrator, SqlFiles) else []


def created_in(scripts: Path, root: Path) -> list[Extension]:
    """The extensions that the files below a directory create, each with the first that does.

    Args:
        scripts: The script directory.
        root: Paths are told relative to it.
    """
    return _created(sorted((*scripts.rglob("*.py"), *scripts.rglob("*.sql"))), root)


def _created(paths: Iterable[Path], root: Path) -> list[Extension]:
    found: dict[str, Extension] = {}
    for path in paths:
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
        yield from ((name, shown) for name in extension_names.in_statement(text))
        return
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return  # Alembic will say so
    revision = _revision(tree)
    by = shown if revision is None else f"revision {revision} in {shown}"
    yield from ((name, by) for statement in _strings(tree) for name in extension_names.in_statement(statement))


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
