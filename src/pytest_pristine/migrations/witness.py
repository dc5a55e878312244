"""What is seen while revisions run, which tells whether others may be applied on top of what they made.

What a revision does is decided by its file and the database, unless it is seen to be otherwise: code of the application
ran meanwhile, a file was read, something was left in the session. It is the migration process that is watched, so that
nothing of it reaches the tests.
"""

from __future__ import annotations

import cProfile
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, event
from sqlalchemy.engine import Engine

from pytest_pristine.migrations import fingerprint, released, revision_sources
from pytest_pristine.migrations.footing import Footing
from pytest_pristine.migrations.messages import Request
from pytest_pristine.migrations.reading import Read
from pytest_pristine.postgres import names

# Where the plugin's own modules are, which are no part of what is watched.
_PACKAGE = str(Path(__file__).resolve().parents[1])

# What a session has that the server's configuration does not give it.
_SESSION = """
    SELECT current_user::text || chr(10) || coalesce(string_agg(name || '=' || setting, chr(10) ORDER BY name), '')
    FROM pg_catalog.pg_settings
    WHERE source NOT IN ('default', 'override', 'configuration file', 'command line', 'environment variable')
      AND name NOT IN ('application_name', 'transaction_isolation', 'transaction_read_only', 'transaction_deferrable')
"""
# What a copy of the database would not have, or what one session of several revisions does otherwise than several.
_REMAINS = """
    SELECT
        EXISTS (SELECT FROM pg_catalog.pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()),
        EXISTS (SELECT FROM pg_catalog.pg_sequence WHERE seqcache > 1),
        EXISTS (SELECT FROM pg_catalog.pg_constraint WHERE condeferrable),
        EXISTS (SELECT FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid
                WHERE d.datname = current_database()),
        EXISTS (SELECT FROM pg_catalog.pg_database
                WHERE datname = current_database() AND pg_get_userbyid(datdba) <> session_user)
"""
_REMAIN = (
    "a temporary table is left",
    "a sequence gives several values at a time to a session",
    "a constraint can be deferred to the end of the transaction of all revisions",
    "there is a subscription, which no copy has",
    "the database was given to another role",
)

# Variables of a project's own are in no list of the server's.
_CUSTOM = re.compile(
    r"""\bset\s+(?:session\s+|local\s+)?["\w]+(?:\.["\w]+)+\s*(?:=|to\b)"""
    r"""|\bsetseed\s*\(|set_config\s*\(\s*(?:[^'\s]|'[^']*\.)""",
    re.IGNORECASE,
)
_ADDS_VALUE = re.compile(r"\balter\s+type\b.*\badd\s+value\b", re.IGNORECASE | re.DOTALL)
# What env.py may execute itself, once for all revisions or again for some of them.
_REPEATABLE = re.compile(
    r"\s*(?:SET|RESET|BEGIN|START|COMMIT|ROLLBACK|SAVEPOINT|RELEASE"
    r"|CREATE\s+(?:SCHEMA|EXTENSION)\s+IF\s+NOT\s+EXISTS)\b[^;]*;?\s*$",
    re.IGNORECASE,
)
_LOOKS = re.compile(r"\s*(?:SELECT|SHOW)\b[^;]*;?\s*$", re.IGNORECASE)
_INTO = re.compile(r"\binto\b", re.IGNORECASE)
_CALLED = re.compile(r"(?<!pg_catalog\.)\b(\w+)\s*\(")
# What may stand before a parenthesis in a SELECT that only looks.
_KNOWN = frozenset(
    """
    in and or not exists any all from join on where select as when then else case coalesce count max min array unnest
    array_agg string_agg generate_subscripts format_type to_regclass current_schema current_schemas current_setting
    current_database version set_config hashtext pg_table_is_visible varchar pg_advisory_lock pg_advisory_xact_lock
    pg_try_advisory_lock pg_try_advisory_xact_lock pg_advisory_unlock pg_advisory_unlock_all
    """.split()  # noqa: SIM905 - fifty quotes make no list easier to read
)


# Files beside a history that decide nothing that a revision does: the history's own, a template of new ones, notes.
_NOT_READ = (".py", ".pyc", ".pyo", ".mako", ".md", ".rst")
_NOTES = ("README", released.NAME)


class NotOnTopError(Exception):
    """What is to be applied is not the rest of what the database was made of."""


@dataclass
class Witness:
    """Applies revisions and sees what they do.

    Attributes:
        request: What to migrate.
        script: The history.
        read: What this process reads.
    """

    request: Request
    script: ScriptDirectory
    read: Read
    _doubts: list[str] = field(default_factory=list)
    _applied: list[tuple[str, Path]] = field(default_factory=list)
    _outside: list[str] = field(default_factory=list)
    _facts: str = ""
    _refusal: str = ""
    _adds_value: bool = False
    _profile: cProfile.Profile = field(default_factory=lambda: cProfile.Profile(subcalls=False, builtins=False))

    def upgrade(self, config: Config) -> None:
        """Run env.py, and with it the revisions, as `alembic upgrade` does.

        Raises:
            NotOnTopError: The database was to be one that has the first of them already, and they do not follow.
        """
        if ":" in self.request.target:
            raise CommandError("Range revision not allowed")
        event.listen(Engine, "before_cursor_execute", self._hear)
        try:
            target = self.request.target
            with EnvironmentContext(
                config, self.script, fn=self._steps, as_sql=False, starting_rev=None, destination_rev=target, tag=None
            ):
                self.script.run_env()
        except NotOnTopError:
            raise
        except Exception:
            # env.py may have made another error of it.
            self._check()
            raise
        finally:
            event.remove(Engine, "before_cursor_execute", self._hear)
        self._check()

    def _check(self) -> None:
        if self.request.base and not self._applied:
            self._doubt_env("env.py runs no migrations")
        if self.request.base and self._refusal:
            raise NotOnTopError(self._refusal)

    def footing(self, inputs: Mapping[str, str]) -> Footing:
        """What was seen.

        Args:
            inputs: What the migrations read.
        """
        root = Path(self.request.root)
        applied = [(revision, fingerprint.file_key(path, root)) for revision, path in self._applied]
        own = {key for _, key in applied}
        environment = fingerprint.file_key(Path(self.script.dir) / "env.py", root)
        held = {fingerprint.file_key(path, root) for path in (*self.read.held, *beside(self.script))}
        held |= {fingerprint.directory_key(path, root) for path in self.read.directories - self.read.listed}
        if not own <= inputs.keys() or environment not in inputs:
            self._doubt("revisions or env.py lie outside of the project")
        if revision_sources.goes_past_sqlalchemy(Path(self.script.dir) / "env.py"):
            self._doubt("env.py may use a connection of the driver's own")
        if any(revision_sources.looks_around(path) for _, path in self._applied):
            self._doubt("a revision may look for what is not recorded")
        return Footing(
            applied=applied,
            bound=self._is_bound(),
            fixed=sorted((held & inputs.keys()) - own | {environment}),
            listed=sorted(fingerprint.directory_key(path, root) for path in self.read.listed),
            facts=self._facts,
            outside=self._outside,
            doubts=self._doubts,
        )

    def _doubt(self, reason: str) -> None:
        """Note why nothing may be built on what the revisions made."""
        if reason not in self._doubts:
            self._doubts.append(reason)

    def _doubt_env(self, reason: str) -> None:
        """Note what env.py did that would be done otherwise, or twice, where the first revisions had been applied."""
        self._doubt(reason)
        self._refusal = self._refusal or reason

    def _refuse(self, reason: str) -> None:
        """Note that the revisions do not follow, and run none of them."""
        self._doubt_env(reason)
        if self.request.base:
            raise NotOnTopError(reason)

    def _steps(self, heads: Any, context: MigrationContext) -> Iterator[RevisionStep]:  # noqa: ANN401 - Alembic's
        """The revisions that are to be run, for Alembic, which runs each before it asks for the next."""
        now = self._following(heads)
        if self._applied:
            self._doubt_env("env.py runs migrations more than once")
        if context.as_sql or context.connection is None:
            yield from now
            return
        session = _ask(context.connection, _SESSION)[0]
        self._begin(now, heads, context, session)
        for step in now:
            step.migration_fn = self._watched(step.migration_fn)
            yield step
        if _ask(context.connection, _SESSION)[0] != session:
            self._doubt("a revision changed what its session is set to")
        per_revision = context._transaction_per_migration and not context._in_external_transaction  # noqa: SLF001 - see upgrade
        remains = [*_ask(context.connection, _REMAINS)]
        remains[2] = remains[2] and not per_revision
        if self._adds_value and not per_revision:
            self._doubt("a value is added to an enum, which the transaction of all revisions could not use")
        for reason, remain in zip(_REMAIN, remains, strict=True):
            if remain:
                self._doubt(reason)

    def _following(self, heads: Any) -> list[RevisionStep]:  # noqa: ANN401 - Alembic's
        with self.read.holding():  # revisions are loaded now, and may do anything then
            return self.script._upgrade_revs(self.request.target, heads)  # noqa: SLF001 - as alembic.command does

    def _begin(self, now: Sequence[RevisionStep], heads: Any, context: MigrationContext, session: str) -> None:  # noqa: ANN401
        """Note what the revisions find, and see whether they follow what was applied before."""
        every = [(step.revision.revision, Path(step.revision.path)) for step in self._following(())]
        mine = [step.revision.revision for step in now]
        if [revision for revision, _ in every] != [*self.request.base, *mine]:
            self._refuse("the revisions would run in another order on an empty database")
        if heads and not self.request.base:
            self._doubt("the database was not empty")
        if context.on_version_apply_callbacks:
            self._doubt_env("env.py is told of each revision")
        self._facts = names.digest(session, *_configured(context))
        if self.request.base and self._facts != self.request.facts:
            self._refuse("env.py configures the migrations in another way")
        self._applied = every

    def _watched(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def watched(**given: Any) -> Any:  # noqa: ANN401 - a revision's own
            if given:
                self._doubt_env("env.py gives revisions something")
            with self._watching():
                return run(**given)

        return watched

    @contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            self._profile.enable()
        except ValueError:
            self._doubt("another tool watches what runs")
        try:
            with self.read.holding():
                yield
        finally:
            self._profile.disable()

    def _hear(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if _in_run(sys._getframe(1)):  # noqa: SLF001 - the documented way
            if "set" in statement.lower() and _CUSTOM.search(statement):
                self._doubt("a revision sets a variable of the project's own")
            self._adds_value = self._adds_value or _ADDS_VALUE.search(statement) is not None
        elif _LOOKS.match(statement) and not _INTO.search(statement):
            unknown = {name.lower() for name in _CALLED.findall(statement)} - _KNOWN
            if unknown:
                self._doubt_env(f"env.py calls {', '.join(sorted(unknown))}")
        elif _REPEATABLE.match(statement):
            self._outside.append(statement)
        else:
            self._doubt_env(f"env.py executes {' '.join(statement.split())}")

    def _is_bound(self) -> bool:
        """Whether the revisions that ran now did anything that the application may decide."""
        codes = (each.code for each in self._profile.getstats() if isinstance(each.code, CodeType))
        # A coroutine that waits for the revisions, as in an asynchronous env.py, is resumed while they wait themselves.
        ran = {code.co_filename for code in codes if not code.co_flags & inspect.CO_COROUTINE}
        mine = [path for revision, path in self._applied if revision not in set(self.request.base)]
        revisions = {os.path.realpath(path) for _, path in self._applied}
        files = {os.path.realpath(file) for file in ran if not file.startswith("<")} - revisions  # or made of a text
        return any(map(_is_application, files)) or any(map(revision_sources.reaches_application, mine))


def beside(script: ScriptDirectory) -> list[Path]:
    """The files beside a history, which a revision may have a program, or the server, read: nobody sees that."""
    files = (path for path in Path(script.dir).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(path for path in files if path.suffix not in _NOT_READ and path.name not in _NOTES)


def _is_application(file: str) -> bool:
    """Whether code is the project's own: neither installed nor ours."""
    return not file.startswith(_PACKAGE + os.sep) and not fingerprint.is_installed(Path(file))


def _in_run(frame: FrameType | None) -> bool:
    """Whether it is Alembic, or a revision, that executes something: not env.py by itself."""
    while frame is not None:
        if frame.f_code is MigrationContext.run_migrations.__code__:
            return True
        frame = frame.f_back
    return False


def _ask(connection: Connection, query: str) -> Sequence[Any]:
    """Ask on the connection of the revisions, without leaving it in a transaction in which it was not."""
    was = connection.in_transaction()
    row = connection.exec_driver_sql(query).one()
    if not was:
        connection.rollback()
    return tuple(row)


def _configured(context: MigrationContext) -> Iterator[str]:
    """What env.py configured, as far as revisions are concerned."""
    yield f"{type(context.impl).__module__}.{type(context.impl).__qualname__}"
    yield f"{context.version_table_schema} {context.version_table}"
    yield repr(getattr(context, "_transaction_per_migration", None))
    options = {} if context.connection is None else context.connection.get_execution_options()
    yield repr(sorted((name, repr(value)) for name, value in options.items()))
    yield repr(getattr(context.opts.get("target_metadata"), "naming_convention", None))
    for name, value in sorted(context.opts.items()):
        if isinstance(value, str | int | float | None):
            yield f"{name}={value!r}"
