"""What must hold of a history, checked on empty databases. What does not is a `MigrationCheckError`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from sqlalchemy.engine import URL

from pytest_pristine.errors import MigrationCheckError
from pytest_pristine.migrations import checked, child, dumps, inspection, messages
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.checked import Checked
from pytest_pristine.migrations.dumps import Dump
from pytest_pristine.migrations.evidence import Evidence
from pytest_pristine.migrations.inspection import History
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.migrations.steps import flat
from pytest_pristine.postgres import urls

_STAIRWAY = "pytest_pristine.migrations.stairway"
# Seconds that reading a history may take: revisions may import the application.
_LIMIT = 300
_UNDO = [
    "mend downgrade()",
    "or say that it cannot be undone: raise NotImplementedError in it, or pristine_irreversible = revision",
]


def of_alembic(migrator: Migrator, remedy: str = checked.GIVE) -> Alembic:
    """The history of Alembic among the steps that make a project's schema.

    Args:
        migrator: Makes it.
        remedy: What to do where there is not just one.

    Raises:
        MigrationCheckError: There is none, or there are several.
    """
    found = [step for step in flat(migrator) if isinstance(step, Alembic)]
    if len(found) != 1:
        raise checked.none_or_several(found, remedy)
    return found[0]


def history(migrations: Alembic) -> History:
    """The history of a project.

    Raises:
        MigrationCheckError: It cannot be read.
        AlembicConfigError: There is no configuration, or no script directory.
    """
    found = inspection.history(migrations, _LIMIT)
    if found.problem:
        raise MigrationCheckError(f"to read the history of {migrations.config}", found.problem, ["mend it"])
    return found


def single_head(migrations: Alembic) -> None:
    """Two branches of development that each added a revision have been merged.

    Raises:
        MigrationCheckError: They have not.
    """
    found = history(migrations)
    if len(found.heads) > 1:
        raise MigrationCheckError(
            f"one head in the history of {migrations.config}",
            f"{len(found.heads)}: " + ", ".join(f"{head} ({found.files[head]})" for head in found.heads),
            ["alembic merge heads, or have the later of them follow the other: down_revision"],
        )


def _target(found: Evidence | None) -> str:
    """The target with which a history comes to its end."""
    return "heads" if found is not None and len(found.heads) > 1 else "head"


def at_head(found: Evidence | None) -> None:
    """Migrating an empty database came to the head.

    Raises:
        MigrationCheckError: It did not.
    """
    if found is None or not found.has_head:
        current = [] if found is None else found.current
        raise MigrationCheckError(
            "an empty database to be at head after alembic upgrade",
            f"it is at {', '.join(current) or 'no revision'}",
            [f"pristine_alembic_target = {_target(found)}", "or look at what env.py does"],
        )


def models_match(found: Evidence | None) -> None:
    """The models are what the migrations make.

    Raises:
        MigrationCheckError: They are not, or it cannot be known.
    """
    sought = "models that are what the migrations make"
    if found is None or found.problem:
        said = "nothing is known of them" if found is None else found.problem
        raise MigrationCheckError(sought, said, ["alembic check shows it, too"])
    if not found.names_models:
        raise MigrationCheckError(
            sought,
            "env.py names no models",
            ["give context.configure(target_metadata=…)", "or leave this check out: import the others by name"],
        )
    if found.number:
        left = found.number - len(found.differences)
        raise MigrationCheckError(
            sought,
            "\n".join([*found.differences, *([f"and {left} more"] if left > 0 else [])]),
            ['alembic revision --autogenerate -m "…"', "what is no business of the models: include_object in env.py"],
        )


def up_down_up(migrations: Checked, url: URL, irreversible: Sequence[str]) -> None:
    """Each revision can be undone, which leaves nothing behind, and applied again, which gives the same.

    Args:
        migrations: The history, and what is run before it. Revisions that this applies are not looked at.
        url: An empty database, which is left at head.
        irreversible: Revisions that cannot be undone, and need not.

    Raises:
        MigrationCheckError: One cannot, or leaves something.
    """
    alembic = migrations.history
    known = history(alembic).files
    unknown = [revision for revision in irreversible if revision not in known]
    sought = f"each revision of {alembic.config} to go up, down and up again"
    if unknown:
        raise MigrationCheckError(
            sought, f"no revision {', '.join(unknown)}", ["name revisions that there are: pristine_irreversible"]
        )
    migrations.prepare(url)
    request, variables = alembic.request(url)
    reply = child.ask(_STAIRWAY, request, variables, alembic.limit, *irreversible)
    walk = reply.answer or {"findings": {}, "problem": f"the process {reply.end}\n{reply.output}".strip()}
    if migrations.before and reply.answer and not walk["revisions"] and not walk["problem"]:
        raise migrations.nothing_left()
    findings = [f"{name}: {what}" for name, found in walk["findings"].items() for what in found]
    found = [*findings, *([walk["problem"]] if walk["problem"] else [])]
    if found:
        raise MigrationCheckError(
            sought,
            urls.redact("\n".join(found), url),
            [
                *(["mend upgrade()"] if messages.NOT_APPLIED in walk["problem"] else []),
                *(_UNDO if findings else []),
            ]
            or ["mend what it says"],
        )


def prefix(found: History) -> list[str]:
    """The heads of a history without its last revision."""
    *earlier, _ = found.files
    followed = {each for revision in earlier for each in found.follows[revision]}
    return [revision for revision in earlier if revision not in followed]


def bring_to(migrations: Alembic, url: URL, revisions: Sequence[str]) -> None:
    """Migrate a database to each of some revisions.

    Raises:
        MigrationError: It failed.
    """
    for revision in revisions:
        replace(migrations, target=revision).migrate(url)


def same(scratch: Dump, other: Dump, sought: str) -> None:
    """A database that was made in another way is the same.

    Raises:
        MigrationCheckError: It is not.
    """
    found = list(_differences(scratch, other))
    if found:
        raise MigrationCheckError(
            sought,
            "\n".join(found),
            ["have revisions depend on nothing but the database: not on the time, on models or on chance"],
        )


def _differences(one: Dump, other: Dump) -> Iterator[str]:
    yield from dumps.differences(one, other)
    yield from dumps.of_rows(one, other)
