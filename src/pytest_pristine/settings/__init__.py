"""What the user can set, and where each value came from.

A setting is given as a pytest option, an environment variable or an ini key, in that order of precedence. A value
that is given but empty counts as given: it hides what stands further down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Generic, TypeVar

from pytest_pristine.errors import SettingError
from pytest_pristine.settings import exports, parsers
from pytest_pristine.settings.exports import Export

T_co = TypeVar("T_co", covariant=True)

SERVER_CHOICES = ("auto", "url", "up", "embedded", "local", "docker")
MIGRATION_PROCESSES = ("child", "inline")
STEPS = ("alembic", "sql", "command", "call", "models")
PROOFS = ("always", "sampled", "off")
DRIVERS = ("psycopg", "psycopg2", "pg8000", "asyncpg")
ASYNC_DRIVERS = ("psycopg", "asyncpg")

# The oldest major version with all that we use: hashes of records, bit_xor over them.
OLDEST_MAJOR = 14

OPTION = "option"
ENVIRONMENT = "environment"
INI = "ini"
DEFAULT = "default"


@dataclass(frozen=True)
class Value(Generic[T_co]):
    """A setting's value and where it came from.

    Attributes:
        value: The parsed value.
        kind: `option`, `environment`, `ini` or `default`.
        origin: The same for people: `--pristine-url`, `TEST_DATABASE_URL`, `pristine_url in the ini file`.
    """

    value: T_co
    kind: str
    origin: str

    @property
    def explicit(self) -> bool:
        """Whether the user gave it for this run, rather than the project for every run."""
        return self.kind in (OPTION, ENVIRONMENT)


@dataclass(frozen=True)
class Setting(Generic[T_co]):
    """One thing that can be set, and how its text is read.

    Attributes:
        name: The name without prefix: `url` is `--pristine-url`, `PRISTINE_URL` and `pristine_url`.
        default: The value when nobody gave one.
        parse: Reads the text; raises ValueError with the reason.
        help: One line for `pytest --help`.
        variable: The environment variable, where it is not `PRISTINE_<NAME>`.
        flag: The option takes no value.
        lines: The ini key takes a list, one entry a line.
    """

    name: str
    default: T_co
    parse: Callable[[str], T_co]
    help: str
    variable: str | None = None
    flag: bool = False
    lines: bool = False

    @property
    def option(self) -> str:
        """The command line option."""
        return f"--pristine-{self.name.replace('_', '-')}"

    @property
    def ini(self) -> str:
        """The ini key."""
        return f"pristine_{self.name}"

    @property
    def environ(self) -> str:
        """The environment variable."""
        return self.variable or f"PRISTINE_{self.name.upper()}"


URL = Setting[str | None](
    "url", None, parsers.text, "URL of the Postgres database to test in", variable="TEST_DATABASE_URL"
)
SERVER = Setting(
    "server", "auto", parsers.choice(*SERVER_CHOICES), f"where Postgres comes from: {', '.join(SERVER_CHOICES)}"
)
POSTGRES_VERSION = Setting[int | None](
    "postgres_version",
    None,
    parsers.number("a major version of PostgreSQL", OLDEST_MAJOR, 99),
    "major version of PostgreSQL that the tests need, such as 15 (default: any)",
)
POSTGRES_BIN = Setting[str | None](
    "postgres_bin", None, parsers.text, "directory of the Postgres programs that a server is started with"
)
EXTENSIONS = Setting[tuple[str, ...] | None](
    "extensions",
    None,
    parsers.lines,
    "extensions that the server must have (default: those that the migrations create)",
    lines=True,
)
DOCKER_IMAGE = Setting[str | None](
    "docker_image",
    None,
    parsers.text,
    "image of the source docker (default: postgres:15-alpine, or of the version asked for)",
)
DOCKER_PORT = Setting[int | None](
    "docker_port", None, parsers.number("a TCP port", 1, 65535), "port of the source docker (default: any that is free)"
)
CLAIM = Setting[str | None](
    "claim",
    None,
    parsers.text,
    "name of a database that is neither ours nor empty and may be destroyed all the same",
)
EXPORT = Setting[tuple[Export, ...]](
    "export",
    (),
    exports.parse,
    "variables that name the tests' database to the application, such as DATABASE_URL, set before it is imported",
    lines=True,
)
CREATE_DB = Setting(
    "create_db", default=False, parse=parsers.flag, help="migrate from nothing, whatever is cached", flag=True
)
MIGRATIONS = Setting[tuple[str, ...]](
    "migrations",
    ("alembic",),
    parsers.entries(*STEPS, alone="alembic"),
    "what makes the schema, one step a line: alembic, sql: …, command: …, call: …, models: … (default: alembic)",
    lines=True,
)
ALEMBIC_CONFIG = Setting[str | None](
    "alembic_config", None, parsers.text, "path of alembic.ini, relative to pytest's root directory"
)
ALEMBIC_TARGET = Setting("alembic_target", "head", str.strip, "revision to migrate to (default: head)")
MIGRATIONS_PROCESS = Setting(
    "migrations_process",
    "child",
    parsers.choice(*MIGRATION_PROCESSES),
    "run migrations in a child process, or inline",
)
DELTA = Setting(
    "delta",
    default=False,
    parse=parsers.flag,
    help="apply new revisions alone on top of a kept template, where that seems to give the same (default: false)",
)
IRREVERSIBLE = Setting[tuple[str, ...]](
    "irreversible",
    (),
    parsers.lines,
    "revisions that cannot be undone, which the checks of migrations respect",
    lines=True,
)
INCLUDE = Setting[tuple[str, ...]](
    "include",
    ("*",),
    parsers.lines,
    "tables that clean_database covers, as [schema.]table patterns (default: *)",
    lines=True,
)
EXCLUDE = Setting[tuple[str, ...]](
    "exclude", (), parsers.lines, "tables that clean_database leaves alone, as [schema.]table patterns", lines=True
)
RESTORE_TIMEOUT = Setting("restore_timeout", 5.0, parsers.seconds, "seconds a restore waits for a lock (default: 5)")
POOL = Setting[int | None](
    "pool",
    None,
    parsers.number("a number of connections", 1, 1000),
    "connections of each worker's postgres_engine (default: up to 15, as many as the server has)",
)
DRIVER = Setting[str | None](
    "driver",
    None,
    parsers.optional(parsers.choice(*DRIVERS)),
    f"driver of postgres_url and postgres_engine, whatever the URL names: {', '.join(DRIVERS)}",
)
ASYNC_DRIVER = Setting[str | None](
    "async_driver",
    None,
    parsers.optional(parsers.choice(*ASYNC_DRIVERS)),
    f"driver of postgres_async_engine: {', '.join(ASYNC_DRIVERS)} (default: that of the URL, else psycopg)",
)
HOME = Setting[str | None](
    "home", None, parsers.text, "directory for servers and their data (default: the user's cache)"
)
LINGER = Setting[float | None](
    "linger", None, parsers.seconds, "seconds a server that we started outlives its last run (default: 60; 0 under CI)"
)

STRICT = Setting(
    "strict",
    default=False,
    parse=parsers.flag,
    help="an item of the checklist that is not proven fails the run",
    flag=True,
)
PROOF = Setting(
    "proof",
    "sampled",
    parsers.choice(*PROOFS),
    "compare the database with its baseline after restores: always, sampled (default; at the end always), or off",
)
SQLITE_GUARD = Setting[tuple[str, ...]](
    "sqlite_guard",
    (),
    parsers.lines,
    "directories whose tests may not open SQLite, besides all tests with fixtures of ours",
    lines=True,
)
SQLITE_ALLOW = Setting[tuple[str, ...]](
    "sqlite_allow",
    (),
    parsers.lines,
    "modules that may open SQLite all the same, and tests in which that may be done, as patterns",
    lines=True,
)
STATEMENTS = Setting[int](
    "statements",
    10,
    parsers.number("a number of statements", 0, 1000, empty=0),
    "statements that are shown of a failed test, the last ones (default: 10; 0 shows none)",
)
PARAMETERS = Setting(
    "parameters", "show", parsers.choice("show", "hide"), "parameters of these statements: show (default) or hide"
)
KEEP_FAILED = Setting[int](
    "keep_failed",
    0,
    parsers.number("a number of databases", 0, 100, empty=0),
    "databases of failed tests that are kept, to look at with `pristine psql --last-failed` (default: 0)",
)
SCHEMA_COV = Setting(
    "schema_cov", default=False, parse=parsers.flag, help="measure what of the schema the tests touch", flag=True
)
SCHEMA_COV_FAIL_UNDER = Setting[float | None](
    "schema_cov_fail_under",
    None,
    parsers.percentage,
    "measure it, and fail the run when the tests touch less than so many percent",
)
REPORT = Setting[str | None]("report", None, parsers.text, "directory for a report: a page and a JSON file")

ALL: tuple[Setting[object], ...] = (
    URL, SERVER, POSTGRES_VERSION, POSTGRES_BIN, EXTENSIONS, DOCKER_IMAGE, DOCKER_PORT, CLAIM, CREATE_DB,
    MIGRATIONS, ALEMBIC_CONFIG, ALEMBIC_TARGET, MIGRATIONS_PROCESS, DELTA, IRREVERSIBLE, INCLUDE, EXCLUDE,
    RESTORE_TIMEOUT, POOL, HOME, LINGER, STRICT, PROOF, SQLITE_GUARD, SQLITE_ALLOW, STATEMENTS, PARAMETERS,
    KEEP_FAILED, SCHEMA_COV, SCHEMA_COV_FAIL_UNDER, REPORT, DRIVER, ASYNC_DRIVER, EXPORT,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a run, each with its origin."""

    url: Value[str | None] = field(repr=False)  # it may hold a password
    server: Value[str]
    postgres_version: Value[int | None]
    postgres_bin: Value[str | None]
    extensions: Value[tuple[str, ...] | None]
    docker_image: Value[str | None]
    docker_port: Value[int | None]
    claim: Value[str | None]
    export: Value[tuple[Export, ...]]
    create_db: Value[bool]
    migrations: Value[tuple[str, ...]]
    alembic_config: Value[str | None]
    alembic_target: Value[str]
    migrations_process: Value[str]
    delta: Value[bool]
    irreversible: Value[tuple[str, ...]]
    include: Value[tuple[str, ...]]
    exclude: Value[tuple[str, ...]]
    restore_timeout: Value[float]
    pool: Value[int | None]
    driver: Value[str | None]
    async_driver: Value[str | None]
    home: Value[str | None]
    linger: Value[float]
    strict: Value[bool]
    proof: Value[str]
    sqlite_guard: Value[tuple[str, ...]]
    sqlite_allow: Value[tuple[str, ...]]
    statements: Value[int]
    parameters: Value[str]
    keep_failed: Value[int]
    schema_cov: Value[bool]
    schema_cov_fail_under: Value[float | None]
    report: Value[str | None]


def linger(settings: Settings) -> float:
    """Seconds that a server of ours outlives its last run. `resolve` has given every run a number."""
    assert settings.linger.value is not None  # noqa: S101
    return settings.linger.value


def _nothing(_: str) -> str | None:
    return None


def resolve(
    environ: Mapping[str, str],
    option: Callable[[str], str | None] = _nothing,
    ini: Callable[[str], str | None] = _nothing,
) -> Settings:
    """Look every setting up in its places.

    Args:
        environ: The environment.
        option: Gives the text of a command line option by the setting's name, None when it was not given.
        ini: Gives the text of an ini key by its full name, None when it was not given.

    Raises:
        SettingError: A value cannot be read.
    """
    found = {setting.name: _look_up(setting, environ, option, ini) for setting in ALL}
    found[LINGER.name] = _linger(found[LINGER.name], environ)
    # Each setting stands in the dataclass under its own name, with the type that its parser returns.
    return Settings(**{field.name: found[field.name] for field in fields(Settings)})  # type: ignore[arg-type]


def resolve_one(
    setting: Setting[T_co],
    environ: Mapping[str, str],
    option: Callable[[str], str | None] = _nothing,
    ini: Callable[[str], str | None] = _nothing,
) -> Value[T_co]:
    """Look one setting up, for a run that may need no other. Arguments and errors are those of `resolve`."""
    return _look_up(setting, environ, option, ini)  # type: ignore[return-value]  # what the setting's parser gives


def _look_up(
    setting: Setting[object],
    environ: Mapping[str, str],
    option: Callable[[str], str | None],
    ini: Callable[[str], str | None],
) -> Value[object]:
    places = (
        (OPTION, setting.option, option(setting.name)),
        (ENVIRONMENT, setting.environ, environ.get(setting.environ)),
        (INI, f"{setting.ini} in the ini file", ini(setting.ini)),
    )
    for kind, origin, text in places:
        if text is not None:
            return Value(_parse(setting, text, kind, origin), kind, origin)
    return Value(setting.default, DEFAULT, DEFAULT)


def _parse(setting: Setting[object], text: str, kind: str, origin: str) -> object:
    try:
        return setting.parse(text)
    except ValueError as error:
        wanted = str(error).removesuffix(",")
        remedy = {
            OPTION: f"give {setting.option} {wanted}",
            ENVIRONMENT: f"set {origin} to {wanted}, or unset it",
            INI: f"correct the line {origin}: {wanted}",
        }[kind]
        raise SettingError(f"{error} for {origin}", repr(text), [remedy]) from None


def _linger(given: Value[object], environ: Mapping[str, str]) -> Value[object]:
    """A CI job has no next run to keep the server warm for."""
    if given.value is not None:
        return given
    if environ.get("CI", "").lower() in ("", "0", "false"):
        return Value(60.0, DEFAULT, DEFAULT)
    return Value(0.0, DEFAULT, "default under CI")
