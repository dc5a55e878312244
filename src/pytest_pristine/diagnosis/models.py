"""The migrations, really run as a run of tests does, and the models compared with what they made."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pytest_pristine.diagnosis import findings, sources, suite
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding
from pytest_pristine.errors import AlembicConfigError, MigrationError, PristineError
from pytest_pristine.isolation import ways
from pytest_pristine.migrations import chosen, locate, steps
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.evidence import Evidence
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.migrations.models import Models
from pytest_pristine.servers import resolver
from pytest_pristine.settings import DEFAULT, Value
from pytest_pristine.templates.provider import PostgresServer

# Seconds for the migrations, with the comparison: they import the application, which takes up to 20 s, and the longest
# history that we know takes two minutes.
_LIMIT = 600
_SUBJECT = "migrations"


def check(context: Context) -> Iterator[Finding]:
    """Have the server, the migrated database and the comparison that a run would have."""
    process = Value("child", DEFAULT, DEFAULT)
    settings = replace(context.settings, migrations_process=process)
    try:
        migrations = chosen.of_settings(context.root, settings, limit=_LIMIT)
    except MigrationError:
        yield findings.ok(_SUBJECT, "none to run: see above, under Alembic")
        return
    wanted = sources.of_project(context)
    try:
        server = resolver.resolve(context.settings, wanted)
    except PristineError as error:
        yield findings.of_error("server", error)
        return
    postgres = PostgresServer(server, wanted, context.settings, context.root, secrets.token_hex(4), "doctor")
    try:
        yield findings.ok("server", str(postgres))
        yield from _migrate(context, postgres, migrations)
    finally:
        postgres.server.release()


def _done(migrations: Migrator) -> str:
    """What the migrations did."""
    if isinstance(migrations, Alembic):
        return f"they bring an empty database to {migrations.target}"
    return "the schema is made by " + ", then ".join(map(str, steps.flat(migrations)))


def _migrate(context: Context, postgres: PostgresServer, migrations: Migrator) -> Iterator[Finding]:
    own = suite.overrides_migrations(context)
    try:
        with postgres.migrated_database(migrations) as database:
            where = "in place" if database.template is None else f"kept as {database.template}"
            yield findings.ok(_SUBJECT, f"{_done(migrations)}; {where}")
            yield findings.ok("restores", ways.describe(postgres.capabilities).removeprefix("restores "))
            yield from judge(database.migrated, migrations, context)
    except MigrationError as error:
        if not own:
            yield findings.of_error(_SUBJECT, error)
            return
        level = findings.WARNING
        yield findings.of_error(f"{_SUBJECT} (without your own apply_migrations)", error, level)
    except PristineError as error:
        yield findings.of_error("server", error)


def judge(found: Evidence | None, migrations: Migrator, context: Context) -> Iterator[Finding]:
    """What to say of the comparison that was made just after the migrations, perhaps in an earlier run."""
    subject = "models"
    kinds = steps.flat(migrations)
    alembic = next((step for step in kinds if isinstance(step, Alembic)), None)
    if alembic is None:
        yield _without_alembic(subject, kinds, context)
        return
    config = context.shown(alembic.config)
    found = found or Evidence(problem="nothing was found out")
    if found.problem:
        yield findings.warning(subject, f"they cannot be compared: {found.problem}",
                               f"alembic -c {config} check shows it too")  # fmt: skip
    elif not found.names_models:
        yield findings.ok(subject, "env.py names none: its target_metadata is None, and nothing was compared")
    elif not found.number:
        yield findings.ok(subject, "they are what the migrations make")
    else:
        yield findings.warning(
            subject, f"they differ from the migrations in {found.number}:\n" + _listed(found),
            f'alembic -c {config} revision --autogenerate -m "…"',
            "what is no business of the models: include_object in env.py leaves it out",
        )  # fmt: skip


def _without_alembic(subject: str, kinds: Sequence[Migrator], context: Context) -> Finding:
    """What to say where Alembic, which compares, has no part in it."""
    if not any(isinstance(step, Models) for step in kinds):
        return findings.ok(subject, "not compared: Alembic has no part in the migrations")
    try:
        unused = locate.alembic_config(context.root, context.settings.alembic_config)
    except AlembicConfigError:
        return findings.ok(subject, "the schema is made from them: no migrations are tested")
    return findings.warning(
        subject, f"the schema is made from them, and {context.shown(unused)} is never tested",
        "set pristine_migrations = alembic, which tests what production will run",
    )  # fmt: skip


def _listed(found: Evidence) -> str:
    left = found.number - len(found.differences)
    return "\n".join([*found.differences, *([f"and {left} more"] if left > 0 else [])])
