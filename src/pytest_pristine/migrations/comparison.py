"""How a database that was migrated compares with the head of its history, and with the models that env.py names."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, pool
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import DBAPIError

from pytest_pristine.migrations import failing, guarding, steering
from pytest_pristine.migrations.evidence import Evidence
from pytest_pristine.migrations.messages import Request
from pytest_pristine.postgres import urls

_ADDED = "in the models, and not in the migrations"
_REMOVED = "in the migrations, and not in the models"

# env.py is run for what it configures. What it does besides it has done: sessions can write nothing, and do not wait
# for what the migrations may have left locked.
_LOOK_ONLY = "SET default_transaction_read_only = on; SET lock_timeout = '10s'"
# What is there already need not be made, and a session that can only read refuses even that.
_IF_NEED_BE = re.compile(
    r"\s*CREATE\s+(SCHEMA|EXTENSION|TABLE|SEQUENCE|(UNIQUE\s+)?INDEX)\s+IF\s+NOT\s+EXISTS\b", re.IGNORECASE
)
_NOTHING = "SELECT"
_READ_ONLY_SQL_TRANSACTION = "25006"

# How a target names the branch that it is in.
_OF_BRANCH = "@"


@dataclass(slots=True)
class _Look:
    """What is seen when env.py runs migrations: there may be several contexts, each with its own models.

    Attributes:
        current: The revisions that the database is at.
        seen: There was a context at all.
        names_models: One of them names models.
        differences: How the models differ.
        tables: The version tables, as SQL has their names, each with what stood in it.
    """

    current: set[str] = field(default_factory=set)
    seen: bool = False
    names_models: bool = False
    differences: list[str] = field(default_factory=list)
    tables: dict[str, list[str]] = field(default_factory=dict)

    def __call__(self, _: object, context: MigrationContext) -> tuple[()]:
        """Look, and give no step to run."""
        at = context.get_current_heads()
        self.current.update(at)
        self.seen = True
        name = context.impl.dialect.identifier_preparer.quote
        table = [context.version_table_schema, context.version_table]
        self.tables[".".join(name(part) for part in table if part)] = sorted(at)
        metadata = context.opts.get("target_metadata")
        if metadata is not None:
            self.names_models = True
            self.differences += [f"{what}: {how}" for what, how in describe(compare_metadata(context, metadata))]
        return ()


def compare(request: Request) -> Evidence:
    """Compare the database as env.py would have `alembic revision --autogenerate` see it. It is not changed."""
    look = _Look()
    engine = create_engine(urls.synchronous(make_url(request.url)), poolclass=pool.NullPool)
    with _looking_only(request), engine.connect() as connection:
        config = steering.configure(request, connection)
        script = ScriptDirectory.from_config(config)
        try:
            with EnvironmentContext(config, script, fn=look, dont_mutate=True):
                script.run_env()
        except DBAPIError as error:
            # It would do again what it did after the migrations; all was seen by then.
            if not (look.seen and failing.state(error) == _READ_ONLY_SQL_TRANSACTION):
                raise
    at, heads = _revisions(script, look.current), _revisions(script, [_ends(request.target)])
    return Evidence(
        current=sorted(look.current),
        heads=sorted(heads if _OF_BRANCH in request.target else script.get_heads()),
        has_head=heads <= at,
        names_models=look.names_models,
        differences=look.differences,
        number=len(look.differences),
        problem="" if look.seen else "env.py, run once more for it, runs no migrations",
        tables=look.tables,
    )


def _ends(target: str) -> str:
    """What Alembic calls the ends of the history; those of a branch, where the migrations go to that alone."""
    branch, of, _ = target.rpartition(_OF_BRANCH)
    return branch + of + "heads"


def _revisions(script: ScriptDirectory, names: Iterable[str]) -> set[str]:
    return {revision.revision for name in names for revision in script.get_revisions(name)}


@contextmanager
def _looking_only(request: Request) -> Iterator[None]:
    """Have SQLAlchemy connect to our database alone, in sessions that can only read."""
    hears: list[tuple[Any, str, Callable[..., Any], dict[str, bool]]] = [
        (Engine, "do_connect", guarding.guard(make_url(request.url)), {}),
        (pool.Pool, "connect", _restrict, {}),
        (Engine, "before_cursor_execute", _pass_over, {"retval": True}),
    ]
    for target, name, listener, options in hears:
        event.listen(target, name, listener, **options)
    try:
        yield
    finally:
        for target, name, listener, _ in hears:
            event.remove(target, name, listener)


def _restrict(connection: Any, _: object) -> None:  # noqa: ANN401 - a connection of any driver
    cursor = connection.cursor()
    for statement in _LOOK_ONLY.split("; "):
        cursor.execute(statement)
    cursor.close()
    connection.commit()


def _pass_over(*what: Any) -> tuple[str, Any]:  # noqa: ANN401 - SQLAlchemy's listeners are untyped
    _, _, statement, parameters, *_ = what
    return (_NOTHING, ()) if _IF_NEED_BE.match(statement) else (statement, parameters)


def describe(differences: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Alembic's differences for people: what it is, and how it differs."""
    for difference in differences:
        if isinstance(difference, list):  # several of one column
            yield from describe(difference)
        else:
            kind, *rest = difference
            how = _HOW.get(kind.split("_", 1)[0], _of_another)
            yield how(kind, rest)


def _of_another(kind: str, rest: list[Any]) -> tuple[str, str]:
    """One that this module does not know."""
    return kind.replace("_", " "), ", ".join(map(str, rest))


def _of_presence(kind: str, rest: list[Any]) -> tuple[str, str]:
    """Something that one has and the other has not."""
    action, what = kind.split("_", 1)
    how = _ADDED if action == "add" else _REMOVED
    if what == "column":
        schema, table, column = rest
        return f"column {_dotted(schema, table, column.name)}", how
    subject = rest[0]
    if what == "table":
        return f"table {_dotted(subject.schema, subject.name)}", how
    if what == "table_comment":
        return f"comment of table {_dotted(subject.schema, subject.name)}", how
    columns = ", ".join(column.name for column in getattr(subject, "columns", ()))
    table = _dotted(subject.table.schema, subject.table.name)
    return f"{_NAMES.get(what, what)} {subject.name or ''} on {table} ({columns})".replace("  ", " "), how


def _of_change(kind: str, rest: list[Any]) -> tuple[str, str]:
    """Something of a column that both have."""
    schema, table, column, _, old, new = rest
    what = kind.split("_", 1)[1]
    return (
        f"column {_dotted(schema, table, column)}",
        f"{what} is {_value(old)} in the migrations, and {_value(new)} in the models",
    )


_HOW: dict[str, Callable[[str, list[Any]], tuple[str, str]]] = {
    "add": _of_presence, "remove": _of_presence, "modify": _of_change,
}  # fmt: skip
_NAMES = {"fk": "foreign key"}


def _dotted(*names: str | None) -> str:
    return ".".join(str(name) for name in names if name)


def _value(value: object) -> str:
    """A type, a default or a flag as it would be written."""
    text = str(getattr(value, "arg", value))
    return {"None": "none", "True": "true", "False": "false"}.get(text, text)
