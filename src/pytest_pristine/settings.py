"""What the user can set, and where each value came from.

A setting is given as a pytest option, an environment variable or an ini key, in that order of precedence. A value
that is given but empty counts as given: it hides what stands further down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Generic, TypeVar

from pytest_pristine.errors import SettingError

T_co = TypeVar("T_co", covariant=True)

SERVER_CHOICES = ("auto", "url", "up", "embedded", "local", "docker")
MIGRATION_PROCESSES = ("child", "inline")

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


def _text(text: str) -> str | None:
    return text.strip() or None


def _flag(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("", "0", "false", "no", "off"):
        return False
    raise ValueError("one of true, false")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError("a number of seconds") from None
    if not 0 <= seconds < float("inf"):
        raise ValueError("a number of seconds, zero or more")
    return seconds


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _number(what: str, smallest: int, largest: int) -> Callable[[str], int | None]:
    def parse(text: str) -> int | None:
        if not text.strip():
            return None
        if not text.strip().isdecimal() or not smallest <= int(text) <= largest:
            raise ValueError(f"{what} between {smallest} and {largest}")
        return int(text)

    return parse


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.strip() not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text.strip()

    return parse


URL = Setting[str | None]("url", None, _text, "URL of the Postgres database to test in", variable="TEST_DATABASE_URL")
SERVER = Setting("server", "auto", _choice(*SERVER_CHOICES), f"where Postgres comes from: {', '.join(SERVER_CHOICES)}")
POSTGRES_VERSION = Setting[int | None](
    "postgres_version",
    None,
    _number("a major version of PostgreSQL", OLDEST_MAJOR, 99),
    "major version of PostgreSQL that the tests need, such as 15 (default: any)",
)
POSTGRES_BIN = Setting[str | None](
    "postgres_bin", None, _text, "directory of the Postgres programs that a server is started with"
)
EXTENSIONS = Setting[tuple[str, ...] | None](
    "extensions",
    None,
    _lines,
    "extensions that the server must have (default: those that the migrations create)",
    lines=True,
)
DOCKER_IMAGE = Setting[str | None](
    "docker_image", None, _text, "image of the source docker (default: postgres:15-alpine, or of the version asked for)"
)
DOCKER_PORT = Setting[int | None](
    "docker_port", None, _number("a TCP port", 1, 65535), "port of the source docker (default: any that is free)"
)
CLAIM = Setting[str | None](
    "claim",
    None,
    _text,
    "name of a database that is neither ours nor empty and may be destroyed all the same",
)
CREATE_DB = Setting("create_db", default=False, parse=_flag, help="migrate from nothing, whatever is cached", flag=True)
ALEMBIC_CONFIG = Setting[str | None](
    "alembic_config", None, _text, "path of alembic.ini, relative to pytest's root directory"
)
ALEMBIC_TARGET = Setting("alembic_target", "head", str.strip, "revision to migrate to (default: head)")
MIGRATIONS_PROCESS = Setting(
    "migrations_process",
    "child",
    _choice(*MIGRATION_PROCESSES),
    "run migrations in a child process, or inline",
)
INCLUDE = Setting[tuple[str, ...]](
    "include",
    ("*",),
    _lines,
    "tables that clean_database covers, as [schema.]table patterns (default: *)",
    lines=True,
)
EXCLUDE = Setting[tuple[str, ...]](
    "exclude", (), _lines, "tables that clean_database leaves alone, as [schema.]table patterns", lines=True
)
RESTORE_TIMEOUT = Setting("restore_timeout", 5.0, _seconds, "seconds a restore waits for a lock (default: 5)")
POOL = Setting[int | None](
    "pool",
    None,
    _number("a number of connections", 1, 1000),
    "connections of each worker's postgres_engine (default: up to 15, as many as the server has)",
)
HOME = Setting[str | None]("home", None, _text, "directory for servers and their data (default: the user's cache)")
LINGER = Setting[float | None](
    "linger", None, _seconds, "seconds a server that we started outlives its last run (default: 60; 0 under CI)"
)

ALL: tuple[Setting[object], ...] = (
    URL, SERVER, POSTGRES_VERSION, POSTGRES_BIN, EXTENSIONS, DOCKER_IMAGE, DOCKER_PORT, CLAIM, CREATE_DB,
    ALEMBIC_CONFIG, ALEMBIC_TARGET, MIGRATIONS_PROCESS, INCLUDE, EXCLUDE, RESTORE_TIMEOUT, POOL, HOME, LINGER,
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
    create_db: Value[bool]
    alembic_config: Value[str | None]
    alembic_target: Value[str]
    migrations_process: Value[str]
    include: Value[tuple[str, ...]]
    exclude: Value[tuple[str, ...]]
    restore_timeout: Value[float]
    pool: Value[int | None]
    home: Value[str | None]
    linger: Value[float]


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
            return Value(_parse(setting, text, origin), kind, origin)
    return Value(setting.default, DEFAULT, DEFAULT)


def _parse(setting: Setting[object], text: str, origin: str) -> object:
    try:
        return setting.parse(text)
    except ValueError as error:
        raise SettingError(f"{error} for {origin}", repr(text), [f"give {setting.option} a valid value"]) from None


def _linger(given: Value[object], environ: Mapping[str, str]) -> Value[object]:
    """A CI job has no next run to keep the server warm for."""
    if given.value is not None:
        return given
    if environ.get("CI", "").lower() in ("", "0", "false"):
        return Value(60.0, DEFAULT, DEFAULT)
    return Value(0.0, DEFAULT, "default under CI")
