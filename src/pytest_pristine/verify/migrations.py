"""Migrations at head, models and migrations agree: what the evidence of the migrated databases says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine.migrations.evidence import Evidence
from pytest_pristine.postgres import connections
from pytest_pristine.verify import checklist
from pytest_pristine.verify.checklist import Item
from pytest_pristine.verify.records import ProcessRecord

KEY = "migrations"
TITLE = "migrations at head, models and migrations agree"

_TELLS_NOTHING = "the project's own migrator tells nothing"
_TARGET = "pristine_alembic_target = {}, or Alembic(target=…), decides how far migrations go"
_BUILD_ON = "have apply_migrations use migrated_database() with Alembic, or hand on what Alembic.migrate() gives"
_ALEMBIC_TOO = "if there is an Alembic history: a line alembic in pristine_migrations, after it, looks at it as well"
_ANEW = "pytest --pristine-create-db --pristine-migrations-process=child migrates anew and looks again"


def now(url: URL, data: dict[str, Any]) -> dict[str, Any]:
    """The evidence with the revisions at which the database of the tests is now: a project may have changed them since.

    Args:
        url: The database.
        data: The evidence of its migrations; see `Evidence.as_dict`.

    Raises:
        UnreachableError: There is no connection to be had.
    """
    if not data:
        return data
    known: set[str] = {str(each) for revisions in data["tables"].values() for each in revisions}
    with connections.connect(url, "look") as connection:
        current = set(data["current"]) - known
        for table in data["tables"]:
            # A project may have removed it since.
            if connection.execute("SELECT to_regclass(%s)", [table]).fetchone() == (None,):
                return data
            query = sql.SQL("SELECT version_num FROM {}").format(sql.SQL(table))  # quoted by the server itself
            current |= {str(row[0]) for row in connection.execute(query)}
    if current == set(data["current"]):
        return data
    return {**data, "current": sorted(current), "has_head": set(data["heads"]) <= current}


def judge(processes: Sequence[ProcessRecord]) -> Item:
    """Judge what the processes that made databases know of them.

    Args:
        processes: All processes that ran tests. Those that neither made a database nor tell of one are no matter.
    """
    found = [Evidence.read(process.migrated) for process in processes if process.used or process.migrated]
    known = [evidence for evidence in found if evidence is not None]
    if not found:
        return _item(checklist.UNKNOWN, "no database was migrated")
    for doubt in (_behind, _different):
        failed = [item for evidence in known if (item := doubt(evidence)) is not None]
        if failed:
            return failed[0]
    if len(known) < len(found):
        return _item(checklist.UNKNOWN, _TELLS_NOTHING, (_BUILD_ON,))
    return _of_one(next((evidence for evidence in known if evidence.problem), known[0]))


def _behind(evidence: Evidence) -> Item | None:
    """The item of a database that is known not to be at head."""
    if not evidence.heads or evidence.has_head:
        return None
    missing = sorted({*evidence.heads} - {*evidence.current})
    return _item(
        checklist.FAILED,
        f"at {_at(evidence)}, which is not the head: {', '.join(evidence.heads)}",
        (_TARGET.format("head" if len(evidence.heads) == 1 else "heads"),),
        tuple(f"revision {revision} is not applied" for revision in missing),
    )


def _different(evidence: Evidence) -> Item | None:
    """The item of a database that is known to differ from the models."""
    if not evidence.number:
        return None
    left = evidence.number - len(evidence.differences)
    return _item(
        checklist.FAILED,
        f"at {_at(evidence)} (head); the models differ from the migrations in {evidence.number}",
        (
            f'{_alembic(evidence)} revision --autogenerate -m "…"',
            "what is no business of the models: include_object in env.py leaves it out",
        ),
        (*evidence.differences, *([f"{left} more differences"] if left > 0 else [])),
    )


def _of_one(evidence: Evidence) -> Item:
    """The item of a database of which nothing bad is known."""
    if evidence.problem:
        remedy = (f"{_alembic(evidence)} check shows it too", _ANEW)
        return _item(checklist.UNKNOWN, f"models could not be compared: {evidence.problem}", remedy)
    if evidence.ran and not evidence.config:
        return _of_others(evidence)
    if not evidence.heads:
        return _item(checklist.UNKNOWN, "the history has no revisions")
    models = (
        "Alembic finds no difference between models and database" if evidence.names_models else "env.py names no models"
    )
    besides = f"; {_ran(evidence)}" if evidence.ran else ""
    return _item(checklist.PASSED, f"at {_at(evidence)} ({_heads(evidence)}); {models}{besides}")


def _of_others(evidence: Evidence) -> Item:
    """The item of a database that Alembic had no part in."""
    if evidence.doubt:
        return _item(checklist.UNKNOWN, f"{_ran(evidence)}; {evidence.doubt}", (_ALEMBIC_TOO,))
    return _item(checklist.PASSED, f"{_ran(evidence)}; no models are compared")


def _ran(evidence: Evidence) -> str:
    return "ran " + ", ".join(evidence.ran)


def _item(state: str, found: str, remedy: tuple[str, ...] = (), offenders: tuple[str, ...] = ()) -> Item:
    return Item(KEY, TITLE, state, found, remedy, offenders)


def _at(evidence: Evidence) -> str:
    return ", ".join(evidence.current) or "no revision"


def _heads(evidence: Evidence) -> str:
    return "head" if len(evidence.heads) == 1 else "heads"


def _alembic(evidence: Evidence) -> str:
    """The command, which looks for `alembic.ini` where it is run."""
    return "alembic" if evidence.config in ("", "alembic.ini") else f"alembic -c {evidence.config}"
