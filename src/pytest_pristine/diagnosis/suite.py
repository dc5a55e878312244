"""pytest and the project's tests: the configuration can be read, our plugin is loaded, there are tests."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from glob import glob
from pathlib import Path

from pytest_pristine.diagnosis import findings
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding

# Our fixtures. `tests/plugin/test_names.py` holds them to be the plugin's.
FIXTURES = (
    "postgres_server", "apply_migrations", "postgres_baseline", "postgres_url", "postgres_dsn", "postgres_engine",
    "postgres_async_engine", "clean_database", "postgres_session", "postgres_async_session", "fresh_database",
)  # fmt: skip
# Entries of directories that are looked at: a project may share its root with far more than itself.
_ENTRIES = 20_000
_NOT_OURS = frozenset({"node_modules", "site-packages", "__pycache__", "build", "dist"})


def check(context: Context) -> Iterator[Finding]:
    """Look at what pytest made of the project."""
    yield _configuration(context)
    yield _plugin(context)
    files = list(_python_files(context))
    yield _tests(context, files)
    for path in files:
        if path.name == "conftest.py":
            yield from _overridden(context, path)


def _configuration(context: Context) -> Finding:
    found = context.configuration
    if found.problem:
        where = found.file or context.directory
        return findings.failed(
            "configuration", f"pytest cannot read it, and says:\n{context.redact(found.problem)}", f"correct {where}"
        )
    if found.file is None:
        return findings.warning(
            "configuration", f"no ini file of pytest; its root directory is {found.root}",
            "call pristine doctor in the project, or name its tests as for pytest: pristine doctor tests/integration",
        )  # fmt: skip
    return findings.ok("configuration", context.shown(found.file))


def _plugin(context: Context) -> Finding:
    found = context.configuration
    if found.registered:
        return findings.ok("our plugin", "loaded")
    if found.blocked:
        where = "addopts" if context.environ.get("PYTEST_ADDOPTS") is None else "addopts or PYTEST_ADDOPTS"
        return findings.failed("our plugin", f"switched off by -p no:pristine in {where}", "remove it there")
    if context.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        return findings.failed(
            "our plugin", "not loaded: PYTEST_DISABLE_PLUGIN_AUTOLOAD is set",
            "unset it, or add to addopts: -p pytest_pristine.plugin",
        )  # fmt: skip
    return findings.failed("our plugin", "not loaded by pytest", "pip install --force-reinstall pytest-pristine")


def _tests(context: Context, files: Sequence[Path]) -> Finding:
    patterns = context.configuration.patterns
    tests = [path for path in files if any(fnmatch(path.name, pattern) for pattern in patterns)]
    where = " and ".join(context.configuration.testpaths) or context.shown(context.root)
    if tests:
        return findings.ok("tests", f"{len(tests)} file{'' if len(tests) == 1 else 's'} below {where}")
    named = " or ".join(patterns)
    return findings.warning("tests", f"no file called {named} below {where}", "write one: the README begins with one")


def _overridden(context: Context, path: Path) -> Iterator[Finding]:
    """Our fixtures that a conftest.py replaces with its own. That is what they are for; it is told, and no mistake."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
    except (SyntaxError, ValueError):
        yield findings.failed(context.shown(path), "it is no Python", f"correct {context.shown(path)}")
        return
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    replaced = [name for name in FIXTURES if name in names]
    if replaced:
        yield findings.ok("fixtures", f"{context.shown(path)} has its own {' and '.join(replaced)}")


def overrides_migrations(context: Context) -> bool:
    """Whether the project migrates in a way of its own, somewhere."""
    found = (finding for path in _python_files(context) if path.name == "conftest.py"
             for finding in _overridden(context, path))  # fmt: skip
    return any("apply_migrations" in finding.found for finding in found)


def _python_files(context: Context) -> Iterator[Path]:
    """The project's Python files, where pytest would look for tests; environments and installed packages left out."""
    seen = 0
    for place in _places(context):
        if place.suffix == ".py":
            yield place
        for directory, folders, names in os.walk(place):
            here = Path(directory)
            folders[:] = sorted(
                name for name in folders
                if not name.startswith(".") and name not in _NOT_OURS and not _is_environment(here / name)
            )  # fmt: skip
            seen += len(folders) + len(names)
            if seen > _ENTRIES:
                return
            yield from (here / name for name in sorted(names) if name.endswith(".py"))


def _is_environment(directory: Path) -> bool:
    """Whether Python packages are installed there. pathlib raises where we may not enter the directory."""
    return os.path.exists(directory / "pyvenv.cfg")  # noqa: PTH110 - see above


def _places(context: Context) -> list[Path]:
    """Where to look: the directories and files that `testpaths` names, which may be patterns."""
    found: list[Path] = []
    for text in context.configuration.testpaths:
        names = glob(text, root_dir=context.root, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        found += [context.root / name for name in sorted(names)]
    return found or [context.root]
