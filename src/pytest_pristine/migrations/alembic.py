"""Alembic: the request that is handed to the migration process, and what its answers mean."""

from __future__ import annotations

import contextlib
import functools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy.engine import URL

from pytest_pristine.errors import (
    AlembicConfigError,
    MigrationError,
    MissingExtensionError,
    OfflineOnlyError,
    RevisionFailedError,
    SeveralHeadsError,
    StepConfigError,
    StrayMigrationError,
)
from pytest_pristine.migrations import child, configuration, fingerprint, loops, messages, surroundings, words
from pytest_pristine.migrations.configuration import Files
from pytest_pristine.migrations.evidence import Evidence, Migrated
from pytest_pristine.migrations.fingerprint import Inputs
from pytest_pristine.migrations.footing import Footing
from pytest_pristine.migrations.messages import Answer, Request
from pytest_pristine.migrations.surroundings import Surroundings
from pytest_pristine.postgres import drivers, exported, names, urls
from pytest_pristine.settings.exports import Export

# Lines of the migration's own output that an error quotes.
_OUTPUT_LINES = 20
# env.py may leave anything behind: a lock that it would wait for, an event loop, a second pool.
_INLINE = "the migrations ran in the process of the tests (inline), where env.py is not run a second time to compare"
# What the server says to CREATE ROLE when another project, or an earlier build, has made that role.
_ROLE_THERE = re.compile(r'role "[^"]*" already exists')
# What Python says when the driver that the URL names is not installed.
_NO_DRIVER = re.compile(r"No module named '(asyncpg|pg8000|psycopg2)'")
# What SQLAlchemy says to an env.py that has no URL.
_NO_URL = re.compile(r"Could not parse SQLAlchemy URL|Expected string or URL object")
_ABOUT_ROLES = (
    "roles belong to the whole server and outlive its databases: have the migration create one only if it is not there"
)


@dataclass(frozen=True)
class Alembic:
    """Brings a database to head with `alembic upgrade`.

    Attributes:
        config: Path of alembic.ini, or of the pyproject.toml that takes its place.
        root: The project's root, for paths in messages and for relative script locations; the directory of `config`
            when it is not given.
        target: The revision to migrate to: `head`, `heads`, `branch@head`, or one of the history.
        inline: Run in this process instead of a child.
        driver: The driver in the URL that the migrations get, such as `psycopg2`; by default that of the tests.
        environment: Variables that the migration process gets besides our own, for an env.py that takes its URL from
            the application's settings; `{url}` in a value stands for the URL, and `{url:postgresql+asyncpg}` for the
            one of that driver.
        limit: Seconds after which the process that runs the migrations is ended; None for as long as they take.
        surroundings: Those of the process for which it migrates; of this one when they are not given.
        section: The section of alembic.ini that `alembic -n` would be given; or the one of the databases that
            `databases` in it lists, as Alembic's template multidb has it, which is then the only one.
        x: What `alembic -x` would be given, one text for each.
        exports: Variables that name the database to the application, from which env.py may take it, too; by default
            those of the setting `pristine_export`.
        grows: A longer history may be continued from what this one made, for which it is watched what the revisions
            do; so it is in any case with the setting `pristine_delta`.
    """

    config: Path
    root: Path | None = None
    target: str = "head"
    inline: bool = False
    driver: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    limit: float | None = None
    surroundings: Surroundings | None = field(default=None, repr=False, compare=False)
    section: str = ""
    x: Sequence[str] = ()
    exports: tuple[Export, ...] = ()
    grows: bool = False

    def __post_init__(self) -> None:
        # Paths are written as text in a conftest.py as often as not.
        object.__setattr__(self, "config", Path(self.config))
        object.__setattr__(self, "root", None if self.root is None else Path(self.root))

    def __str__(self) -> str:
        return f"alembic: {self.config.name}{'#' if self.section else ''}{self.section}"

    def fingerprint(self) -> str:
        """A digest of the script directory, the configuration, the target and the environment."""
        return names.digest(self.stem(), fingerprint.tree_digest(self.scripts()))

    def stem(self) -> str:
        """A digest of the same without the scripts: what a history has in common with itself when it was shorter."""
        return names.digest(
            *(fingerprint.file_digest(file) for file in self._files if file is not None),
            self.target,
            self.driver or "",
            json.dumps([dict(self.environment), self.section, *self.x], sort_keys=True),
            *map(str, self.exports),
        )

    def current(self, inputs: Inputs) -> bool:
        """Whether everything that an earlier migration read is unchanged."""
        return fingerprint.unchanged(inputs, self._root)

    def migrate(self, url: URL) -> Migrated:
        """Run `alembic upgrade` and check that it went to this database.

        Returns:
            What the migrations read, and whether the database is at head and as the models have it.

        Raises:
            MigrationError: It failed; the revision, its file and the server's error are named.
        """
        request, variables = self.request(url)
        return self._migrate(request, variables, url)

    def extend(self, url: URL, base: Footing) -> Migrated:
        """Apply the rest of the history to a copy of what its first revisions made.

        Raises:
            MigrationError: It failed, or what is to be applied is not the rest: the database is of no use then.
        """
        request, variables = self.request(url)
        return self._migrate(replace(request, base=base.revisions, facts=base.facts), variables, url)

    def _migrate(self, request: Request, variables: Mapping[str, str | None], url: URL) -> Migrated:
        answer = _run_inline(request, variables) if self.inline else self._run_in_child(request, variables)
        if answer.problem is not None:
            raise self._explain(answer, url)
        found = Evidence(problem=_INLINE) if self.inline else Evidence.read(answer.evidence)
        return Migrated(
            answer.inputs,
            found and replace(found, problem=urls.redact(found.problem, url)),
            Footing.read(answer.footing),
        )

    def _run_in_child(self, request: Request, variables: Mapping[str, str | None]) -> Answer:
        """Run the migrations in a process of their own.

        No event loop, no logging configuration and no import of theirs reaches the tests.
        """
        reply = child.ask(messages.PROCESS, request, variables, self.limit, surroundings=self.surroundings)
        if reply.answer is None:
            return Answer(messages.FAILED, f"the migration process {reply.end}", output=reply.output)
        return Answer(**{**reply.answer, "output": reply.output})

    def request(self, url: URL) -> tuple[Request, dict[str, str | None]]:
        """What a process that works on the database is told, and the variables that it gets besides our own."""
        url = drivers.url_for(self.driver or drivers.of(url), url)
        request = Request(
            config=str(self.config.resolve()),
            directory=str(self._directory()),
            root=str(self._root),
            target=self.target,
            url=url.render_as_string(hide_password=False),
            ini=str(self._files.ini or ""),
            toml=str(self._files.toml or ""),
            section=self._section,
            database=self.section if self._is_database else "",
            x=tuple(self.x),
            is_watched=self.grows,
        )
        given = {name: words.fill(value, url) for name, value in self.environment.items()}
        return request, {**exported.variables(self.exports, url), **given}

    @property
    def _files(self) -> Files:
        return configuration.files(self.config)

    @property
    def _is_database(self) -> bool:
        """Whether the section is one of the databases of a history, and not one that is Alembic's own."""
        return bool(self.section) and self.section in configuration.databases(self._files)

    @property
    def _section(self) -> str:
        return configuration.SECTION if self._is_database or not self.section else self.section

    @property
    def _root(self) -> Path:
        return (self.root or self.config.parent).resolve()

    def _directory(self) -> Path:
        """Where to run Alembic: it resolves a relative script location from the current directory."""
        location = Path(self._location())
        for directory in (self.config.resolve().parent, self._root):
            if (directory / location).is_dir():
                return directory
        raise AlembicConfigError(
            f"the script directory {location} named by script_location in {self.config}",
            f"no such directory in {self.config.resolve().parent} or {self._root}",
            [f"write script_location = %(here)s/… in {self.config}"],
        )

    def scripts(self) -> Path:
        """The script directory.

        Raises:
            AlembicConfigError: There is no configuration, or no such directory.
        """
        return self._directory() / self._location()

    def _location(self) -> str:
        """`script_location`, read without importing Alembic: a warm start never needs it."""
        location = configuration.script_location(self._files, self._section)
        return _package_directory(location) if ":" in location and not Path(location).is_absolute() else location

    def _ways_home(self) -> list[str]:
        """How an env.py that connects elsewhere can be brought to our database."""
        several = [] if self._is_database else configuration.databases(self._files)
        one = f"alembic: {self.config.name}#{next(iter(several), '')}, or Alembic(section=…)"
        return [
            *([f"name one of the databases {', '.join(several)}: pristine_migrations = {one}"] if several else []),
            'make env.py use config.attributes["connection"] or config.get_main_option("sqlalchemy.url")',
            "or give it the variable that it reads: pristine_migrations = alembic: NAME={url}",
            "or name the variable that env.py reads: pristine_export = NAME, or Alembic(environment={...})",
        ]

    def _remedies(self, answer: Answer, said: str) -> list[str]:
        """What to do about a history that could not be run."""
        name = answer.variable
        if name:
            return [
                f"give it the variable that it reads: pristine_migrations = alembic: {name}={{url}}",
                f"or, if the application reads it too: pristine_export = {name}",
                "or set it, if it names no database",
            ]
        return self._ways_home() if _NO_URL.search(said) is not None else [_remedy(said)]

    def _explain(self, answer: Answer, url: URL) -> MigrationError:
        """The error that an answer stands for, without passwords."""
        said = urls.redact("\n".join(answer.message.strip().splitlines()), url)
        if answer.problem == messages.SEVERAL_HEADS:
            return SeveralHeadsError(
                f"one head in the history of {self.config}",
                said,
                ["alembic merge heads", "or set pristine_alembic_target = heads in the ini file"],
            )
        if answer.problem == messages.NO_TARGET:
            return StepConfigError(
                f"the revision {self.target!r} in the history of {self.config}",
                said,
                [
                    "name one that there is, or heads: pristine_alembic_target, or --target in pristine_migrations",
                    "alembic history shows them",
                ],
            )
        if answer.problem == messages.OFFLINE:
            return OfflineOnlyError(
                f"migrations of the database {url.database!r} with {self.config}",
                f"env.py works for alembic upgrade --sql, where it connects to nothing, and not without: {said}",
                [
                    "have env.py connect when context.is_offline_mode() is false, as the one of alembic init does",
                    "or alembic upgrade head --sql > schema.sql, and pristine_migrations = sql: schema.sql",
                ],
            )
        if answer.problem == messages.STRAY:
            return StrayMigrationError(f"migrations of the database {url.database!r}", said, self._ways_home())
        if answer.problem == messages.NOT_ON_TOP:
            return MigrationError("the rest of a history, on top of what its first revisions made", said)
        return self._explain_failure(answer, said, url)

    def _explain_failure(self, answer: Answer, said: str, url: URL) -> RevisionFailedError:
        """The error for a revision, or an env.py, that raised one."""
        output = urls.redact("\n".join(answer.output.strip().splitlines()[-_OUTPUT_LINES:]), url)
        by = f"revision {answer.revision} in {answer.file}" if answer.revision else str(self.config)
        sought = f"to migrate an empty database to {self.target} with {self.config}"
        found = (f"{by} failed: " if answer.revision else "") + said
        if answer.extension:
            remedy = f"install {answer.extension} on the server, or name a server that has it"
            return MissingExtensionError(sought, found, [remedy], answer.extension, by)
        return RevisionFailedError(
            sought,
            found + (f"\noutput of the migration:\n{output}" if output else ""),
            [
                *self._remedies(answer, f"{said}\n{output}"),
                "for the whole traceback: pristine_migrations_process = inline, or Alembic(inline=True)",
            ],
        )


def _remedy(said: str) -> str:
    if _ROLE_THERE.search(said) is not None:
        return _ABOUT_ROLES
    driver = _NO_DRIVER.search(said)
    if driver is not None:
        return f"pip install {driver[1]}, which the URL names; or have it name another: postgresql+psycopg://"
    return "mend the migration"


def _package_directory(location: str) -> str:
    """The directory of a script location such as `myapp:migrations`."""
    import importlib.util  # rarely needed

    package, _, path = location.partition(":")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return location
    return str(Path(next(iter(spec.submodule_search_locations)), *path.split(":")))


def _run_inline(request: Request, variables: Mapping[str, str | None]) -> Answer:
    from pytest_pristine.migrations import upgrade  # imports Alembic

    with contextlib.chdir(request.directory), surroundings.set_to(variables):
        return loops.outside(functools.partial(upgrade.run, request, raise_errors=True))
