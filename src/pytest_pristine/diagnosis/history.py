"""Alembic: its configuration, its script directory, the heads of the history, and where env.py takes its URL from."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from pytest_pristine.diagnosis import findings
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding
from pytest_pristine.errors import AlembicConfigError, MigrationError, NoAlembicConfigError
from pytest_pristine.migrations import chosen, inspection
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.inspection import History
from pytest_pristine.migrations.sql_files import SqlFiles

# Seconds that reading the history may take: every revision is imported.
_LIMIT = 45
_URL = "sqlalchemy.url"
_USE_OURS = 'make env.py use config.attributes["connection"] or config.get_main_option("sqlalchemy.url")'
_OR_NAME = "or give it the variable that it reads: pristine_migrations = alembic: NAME={url}"
_OR_TELL = "or override apply_migrations and give Alembic(environment={...}) the variable that env.py reads"


def check(context: Context) -> Iterator[Finding]:
    """Look at the files of each step, then at the history in a process of its own."""
    try:
        steps = chosen.each(context.root, context.settings)
    except NoAlembicConfigError as error:
        yield findings.of_error("configuration", error, findings.WARNING)
        return
    except AlembicConfigError as error:
        yield findings.of_error("configuration", error)
        return
    except MigrationError as error:
        yield findings.of_error("steps", error)
        return
    for step in steps:
        if isinstance(step, Alembic):
            yield from _of_alembic(step, context)
        elif isinstance(step, SqlFiles):
            yield _of_files(step)
        else:
            yield findings.ok("step", str(step))


def _of_alembic(migrations: Alembic, context: Context) -> Iterator[Finding]:
    yield findings.ok("configuration", context.shown(migrations.config))
    try:
        scripts = migrations.scripts()
    except AlembicConfigError as error:
        yield findings.of_error("configuration", error)
        return
    yield findings.ok("script directory", context.shown(scripts))
    history = inspection.history(migrations, _LIMIT)
    yield judge(history, migrations, context)
    # What is given a variable takes its URL from there.
    if not migrations.environment:
        yield from _environment(scripts / "env.py", context)


def _of_files(step: SqlFiles) -> Finding:
    try:
        files = step.files()
    except MigrationError as error:
        return findings.of_error("step", error)
    several = f"{len(files)} files, from {files[0].name} to {files[-1].name}"
    return findings.ok("step", f"{step}: {files[0].name if len(files) == 1 else several}")


def judge(history: History, migrations: Alembic, context: Context) -> Finding:
    """What to say of the ends of a history."""
    if history.problem:
        return findings.failed("history", f"Alembic cannot read it: {history.problem}", "mend the revision it names",
                               f"alembic -c {context.shown(migrations.config)} history shows it too")  # fmt: skip
    number = f"{history.revisions} revision{'' if history.revisions == 1 else 's'}"
    if not history.heads:
        return findings.warning("heads", "none: the history is empty",
                                f'alembic -c {context.shown(migrations.config)} revision -m "…"')  # fmt: skip
    if len(history.heads) == 1:
        return findings.ok("heads", f"{history.heads[0]}, of {number}")
    several = f"{len(history.heads)}: {', '.join(history.heads)}, of {number}"
    if migrations.target != "head":
        return findings.ok("heads", f"{several}; the target is {migrations.target}")
    return findings.failed(
        "heads", several, f'alembic -c {context.shown(migrations.config)} merge heads -m "…"',
        "or set pristine_alembic_target = heads in the ini file",
    )  # fmt: skip


def _environment(path: Path, context: Context) -> Iterator[Finding]:
    if not path.is_file():
        yield findings.failed("env.py", f"there is none in {context.shown(path.parent)}", "alembic init makes one")
        return
    reason = reason_to_doubt(path.read_text(encoding="utf-8", errors="replace"))
    if reason is None:
        yield findings.ok("env.py", context.shown(path))
    else:
        yield findings.warning("env.py", f"{context.shown(path)} {reason}", _USE_OURS, _OR_NAME, _OR_TELL)


def reason_to_doubt(text: str) -> str | None:
    """Why an env.py will hardly connect to the database that it is given; None when nothing tells.

    It is told from its text: whether it really does turns out when it runs.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        return f"is no Python: {error.msg}, line {error.lineno}"
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    if "attributes" not in attributes and any(_sets_the_url(call) for call in _unconditional_calls(tree)):
        return f"sets {_URL} itself, over the one that it is given"
    return None


def _unconditional_calls(node: ast.AST) -> Iterator[ast.Call]:
    """The calls of a program that stand under no `if`: one that does may well ask whether there is a URL already."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.If):
            yield from _unconditional_calls(child)
    if isinstance(node, ast.Call):
        yield node


def _sets_the_url(call: ast.Call) -> bool:
    """Whether a call is `config.set_main_option("sqlalchemy.url", ...)`, with a value that is not read from it."""
    named = isinstance(call.func, ast.Attribute) and call.func.attr == "set_main_option"
    first = call.args[0] if call.args else None
    if not (named and isinstance(first, ast.Constant) and first.value == _URL):
        return False
    read = (node.attr for value in call.args[1:] for node in ast.walk(value) if isinstance(node, ast.Attribute))
    return "get_main_option" not in set(read)
