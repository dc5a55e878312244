"""The process that reads a history, and compares a database with the models that env.py names.

Run as `python -m pytest_pristine.migrations.examination ANSWER [--compare]` with a request on standard input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, pool
from sqlalchemy.engine import Engine, make_url

from pytest_pristine.migrations import upgrade
from pytest_pristine.migrations.messages import Request
from pytest_pristine.postgres import urls

_ADDED = "in the models, and not in the migrations"
_REMOVED = "in the migrations, and not in the models"


def history(request: Request) -> dict[str, Any]:
    """The heads, and how many revisions there are."""
    script = ScriptDirectory.from_config(Config(request.config))
    return {"heads": sorted(script.get_heads()), "revisions": sum(1 for _ in script.walk_revisions())}


def compare(request: Request) -> dict[str, Any]:
    """How the models differ from the database, as env.py would have `alembic revision --autogenerate` see it."""
    found: dict[str, Any] = {"compared": False, "differences": []}

    def look(_: object, context: MigrationContext) -> tuple[()]:
        metadata = context.opts.get("target_metadata")
        if metadata is not None:
            found["compared"] = True
            found["differences"] += describe(compare_metadata(context, metadata))
        return ()

    url = make_url(request.url)
    engine = create_engine(urls.synchronous(url), poolclass=pool.NullPool)
    event.listen(Engine, "do_connect", upgrade.guard(url))
    with engine.connect() as connection:
        config = upgrade.configure(request, connection)
        script = ScriptDirectory.from_config(config)
        with EnvironmentContext(config, script, fn=look, dont_mutate=True):
            script.run_env()
    return found


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


def main() -> None:
    """Answer the request on standard input in the file that the command line names."""
    request = Request(**json.load(sys.stdin))
    work = compare if "--compare" in sys.argv[2:] else history
    try:
        answer = work(request)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the project's code raises is the answer
        answer = {"problem": upgrade.failure(error, request).message}
    Path(sys.argv[1]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
