"""The migrations, really run as a run of tests does, and the models compared with what they made."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from pytest_pristine.diagnosis import findings, sources, suite
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding
from pytest_pristine.errors import AlembicConfigError, MigrationError, PristineError
from pytest_pristine.isolation import ways
from pytest_pristine.migrations import locate
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.evidence import Evidence
from pytest_pristine.servers import resolver
from pytest_pristine.templates.provider import PostgresServer

# Seconds for the migrations, with the comparison: they import the application, which takes up to 20 s, and the longest
# history that we know takes two minutes.
_LIMIT = 600
_SUBJECT = "migrations"


def check(context: Context) -> Iterator[Finding]:
    """Have the server, the migrated database and the comparison that a run would have."""
    try:
        config = locate.alembic_config(context.root, context.settings.alembic_config)
    except AlembicConfigError:
        yield findings.ok(_SUBJECT, "none to run: see above, under Alembic")
        return
    migrations = Alembic(config, context.root, context.settings.alembic_target.value, limit=_LIMIT)
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


def _migrate(context: Context, postgres: PostgresServer, migrations: Alembic) -> Iterator[Finding]:
    own = suite.overrides_migrations(context)
    try:
        with postgres.migrated_database(migrations) as database:
            where = "in place" if database.template is None else f"kept as {database.template}"
            yield findings.ok(_SUBJECT, f"they bring an empty database to {migrations.target}; {where}")
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


def judge(found: Evidence | None, migrations: Alembic, context: Context) -> Iterator[Finding]:
    """What to say of the comparison that was made just after the migrations, perhaps in an earlier run."""
    subject = "models"
    config = context.shown(migrations.config)
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


def _listed(found: Evidence) -> str:
    left = found.number - len(found.differences)
    return "\n".join([*found.differences, *([f"and {left} more"] if left > 0 else [])])
