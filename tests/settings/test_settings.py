"""Where a value comes from when several places give one, and what is said about a bad one."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from pytest_pristine import settings
from pytest_pristine.errors import SettingError
from pytest_pristine.settings.exports import Export

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_pristine.settings import Setting
    from tests.conftest import Project

# For each setting two texts that are valid and differ, and what the first means.
TEXTS: dict[str, tuple[str, str, object]] = {
    "url": ("postgresql://a/b", "postgresql://c/d", "postgresql://a/b"),
    "server": ("embedded", "url", "embedded"),
    "postgres_version": ("15", "16", 15),
    "postgres_bin": ("/a", "/b", "/a"),
    "extensions": ("pgcrypto\n  uuid-ossp", "hstore", ("pgcrypto", "uuid-ossp")),
    "driver": ("psycopg2", "pg8000", "psycopg2"),
    "async_driver": ("asyncpg", "psycopg", "asyncpg"),
    "docker_image": ("postgis/postgis:16-3.5", "postgres:15", "postgis/postgis:16-3.5"),
    "docker_port": ("55432", "5432", 55432),
    "claim": ("mine", "other", "mine"),
    "export": ("DATABASE_URL = postgresql", "OTHER", (Export("DATABASE_URL", "postgresql"),)),
    "create_db": ("true", "false", True),
    "migrations": ("alembic: a.ini\n  sql: seeds", "command: make db", ("alembic: a.ini", "sql: seeds")),
    "alembic_config": ("db/alembic.ini", "alembic.ini", "db/alembic.ini"),
    "alembic_target": ("0001", "heads", "0001"),
    "migrations_process": ("inline", "child", "inline"),
    "delta": ("false", "true", False),
    "include": ("users\n  app.*", "orders", ("users", "app.*")),
    "exclude": ("users\n  app.*", "orders", ("users", "app.*")),
    "irreversible": ("0007\n  0009", "0008", ("0007", "0009")),
    "restore_timeout": ("1.5", "2", 1.5),
    "pool": ("3", "7", 3),
    "home": ("/a", "/b", "/a"),
    "linger": ("0", "7", 0.0),
    "strict": ("true", "false", True),
    "proof": ("always", "off", "always"),
    "sqlite_guard": ("tests\n  backend/tests", "other", ("tests", "backend/tests")),
    "sqlite_allow": ("diskcache", "joblib", ("diskcache",)),
    "statements": ("3", "20", 3),
    "parameters": ("hide", "show", "hide"),
    "keep_failed": ("2", "5", 2),
    "schema_cov": ("true", "false", True),
    "schema_cov_fail_under": ("87.5", "50", 87.5),
    "report": ("build/report", "other", "build/report"),
}
EVERY = pytest.mark.parametrize("setting", settings.ALL, ids=lambda setting: setting.name)


def resolved(
    setting: Setting[object], option: str | None = None, environment: str | None = None, ini: str | None = None
) -> settings.Value[object]:
    """The setting, given in some of its places and nowhere else."""
    found = settings.resolve(
        {} if environment is None else {setting.environ: environment},
        {setting.name: option}.get,
        {setting.ini: ini}.get,
    )
    value: settings.Value[object] = getattr(found, setting.name)
    return value


def test_the_texts_cover_every_setting() -> None:
    """A setting that is added is tested as all others are."""
    assert set(TEXTS) == {setting.name for setting in settings.ALL}


@EVERY
def test_option_beats_environment_beats_ini(setting: Setting[object]) -> None:
    """Of the places that give a value, the command line counts first, then the environment, then the ini file."""
    wanted, other, meaning = TEXTS[setting.name]
    assert resolved(setting, wanted, other, other) == settings.Value(meaning, "option", setting.option)
    assert resolved(setting, None, wanted, other) == settings.Value(meaning, "environment", setting.environ)
    in_file = f"{setting.ini} in the ini file"
    assert resolved(setting, None, None, wanted) == settings.Value(meaning, "ini", in_file)


@EVERY
def test_default_when_nobody_gave_a_value(setting: Setting[object]) -> None:
    """A value that nobody gave is the default, and says that it is."""
    found = resolved(setting)
    assert (found.kind, found.origin, found.explicit) == ("default", "default", False)
    assert found.value == (60.0 if setting.name == "linger" else setting.default)


@pytest.mark.parametrize("name", ["url", "claim", "alembic_config", "home", "driver"])
@pytest.mark.parametrize("place", ["option", "environment", "ini"])
def test_an_empty_value_counts_as_given(name: str, place: str) -> None:
    """A value that is given but empty hides what stands further down, in every place."""
    (setting,) = (setting for setting in settings.ALL if setting.name == name)
    below = list(itertools.takewhile(lambda kind: kind != place, ["ini", "environment", "option"]))
    found = resolved(setting, **dict.fromkeys(below, TEXTS[name][0]), **{place: ""})
    assert (found.value, found.kind) == (None, place)


@pytest.mark.parametrize("name", ["include", "exclude"])
def test_an_empty_list_is_a_list_of_nothing(name: str) -> None:
    """A list that is given but empty holds nothing, whatever the default holds."""
    (setting,) = (setting for setting in settings.ALL if setting.name == name)
    assert resolved(setting, ini="").value == ()


def test_only_option_and_environment_are_for_this_run() -> None:
    """A value is explicit when it was given for this run, and not when the project gives it for all runs."""
    assert resolved(settings.URL, option="postgresql://a/b").explicit
    assert resolved(settings.URL, environment="postgresql://a/b").explicit
    assert not resolved(settings.URL, ini="postgresql://a/b").explicit


def test_the_url_is_named_as_the_community_names_it() -> None:
    """The URL is read from TEST_DATABASE_URL, never from DATABASE_URL or PRISTINE_URL."""
    others = {"DATABASE_URL": "postgresql://prod/prod", "PRISTINE_URL": "postgresql://x/x"}
    assert settings.resolve(others).url.value is None
    found = settings.resolve({**others, "TEST_DATABASE_URL": "postgresql://a/b"}).url
    assert (found.value, found.origin) == ("postgresql://a/b", "TEST_DATABASE_URL")


@EVERY
def test_every_name_carries_our_prefix(setting: Setting[object]) -> None:
    """No option, ini key or variable can clash with another plugin's."""
    assert setting.option == "--pristine-" + setting.name.replace("_", "-")
    assert setting.ini == f"pristine_{setting.name}"
    assert setting.environ == {"url": "TEST_DATABASE_URL"}.get(setting.name, f"PRISTINE_{setting.name.upper()}")


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("server", "sqlite", "one of auto, url, up, embedded, local, docker"),
        ("server", "", "one of auto, url, up, embedded, local, docker"),
        ("migrations", "flyway: sql", "lines of the kinds alembic, alembic: …, sql: …, command: …, call: …, models: …"),
        ("migrations", "sql:", "lines of the kinds alembic, alembic: …, sql: …, command: …, call: …, models: …"),
        ("migrations", "", "one line or more"),
        ("migrations_process", "thread", "one of child, inline"),
        ("create_db", "maybe", "one of true, false"),
        ("linger", "soon", "a number of seconds"),
        ("linger", "-1", "a number of seconds, zero or more"),
        ("proof", "often", "one of always, sampled, off"),
        ("parameters", "maybe", "one of show, hide"),
        ("statements", "many", "a number of statements between 0 and 1000"),
        ("keep_failed", "101", "a number of databases between 0 and 100"),
        ("schema_cov_fail_under", "101", "a percentage between 0 and 100"),
        ("schema_cov_fail_under", "much", "a percentage"),
        ("restore_timeout", "nan", "a number of seconds, zero or more"),
        ("restore_timeout", "inf", "a number of seconds, zero or more"),
    ],
)
@pytest.mark.parametrize("place", ["option", "environment", "ini"])
def test_a_bad_value_is_named_with_its_place(name: str, text: str, wanted: str, place: str) -> None:
    """The message on a bad value says what would be valid, which place gave it, and the value itself."""
    (setting,) = (setting for setting in settings.ALL if setting.name == name)
    with pytest.raises(SettingError) as caught:
        resolved(setting, **{place: text})
    origin = {"option": setting.option, "environment": setting.environ, "ini": f"{setting.ini} in the ini file"}
    assert caught.value.sought == f"{wanted} for {origin[place]}"
    assert caught.value.found == repr(text)
    assert origin[place] in caught.value.remedy[0]
    assert wanted in caught.value.remedy[0]


@pytest.mark.parametrize("text", ["1", "true", "YES", " on "])
def test_words_for_yes(text: str) -> None:
    """A flag in the environment may be written in the usual ways."""
    assert resolved(settings.CREATE_DB, environment=text).value is True


@pytest.mark.parametrize("text", ["", "0", "False", "no", "off"])
def test_words_for_no(text: str) -> None:
    """A flag that is given as no, or empty, is off."""
    assert resolved(settings.CREATE_DB, environment=text).value is False


@pytest.mark.parametrize(("ci", "seconds"), [("true", 0.0), ("1", 0.0), ("false", 60.0), ("0", 60.0), ("", 60.0)])
def test_no_linger_under_ci(ci: str, seconds: float) -> None:
    """In a CI job, which has no next run, the server stops with the run."""
    found = settings.resolve({"CI": ci}).linger
    assert (found.value, found.kind) == (seconds, "default")
    assert found.origin == ("default" if seconds else "default under CI")


def test_linger_given_beats_ci() -> None:
    """A linger time that somebody gave holds in a CI job too."""
    found = settings.resolve({"CI": "true", "PRISTINE_LINGER": "5"}).linger
    assert (found.value, found.origin) == (5.0, "PRISTINE_LINGER")


def test_pytest_knows_every_setting(project: Project) -> None:
    """`pytest --help` lists every option and every ini key."""
    shown = project.run("--help").output
    for setting in settings.ALL:
        assert setting.option in shown
        assert setting.ini in shown


def test_a_run_reads_every_place(project: Project, tmp_path: Path) -> None:
    """In a run of pytest every place is read as it is written, and what is empty but given hides what is below it."""
    project.write(
        "pytest.ini",
        """
        [pytest]
        pristine_linger = 3
        pristine_restore_timeout = 3
        pristine_alembic_target = 0001
        pristine_url = postgresql://localhost:1/nowhere
        pristine_include =
        pristine_exclude =
            users
            app.*
        """,
    )
    answer = tmp_path / "answer"
    project.write(
        "test_users.py",
        f"""
        def test_settings(postgres_server):
            with open({str(answer)!r}, "w") as file:
                print(postgres_server.settings, file=file)
        """,
    )
    places = {"PRISTINE_LINGER": "2", "PRISTINE_RESTORE_TIMEOUT": "2", "TEST_DATABASE_URL": ""}
    run = project.run("--pristine-linger=1", "--pristine-create-db", **places, PRISTINE_POSTGRES_VERSION="")
    assert run.status == 0, run.output
    assert "; passed over url: TEST_DATABASE_URL is empty; restores" in run.output
    read = answer.read_text()
    assert " url=" not in f" {read}".replace("(", " "), "a URL may hold a password"
    for name, value in {
        "linger": settings.Value(1.0, "option", "--pristine-linger"),
        "create_db": settings.Value(value=True, kind="option", origin="--pristine-create-db"),
        "restore_timeout": settings.Value(2.0, "environment", "PRISTINE_RESTORE_TIMEOUT"),
        "alembic_target": settings.Value("0001", "ini", "pristine_alembic_target in the ini file"),
        "include": settings.Value((), "ini", "pristine_include in the ini file"),
        "exclude": settings.Value(("users", "app.*"), "ini", "pristine_exclude in the ini file"),
        "claim": settings.Value(None, "default", "default"),
    }.items():
        assert f"{name}={value}" in read


def test_a_bad_value_in_a_run(project: Project) -> None:
    """A bad value ends the run with exit code 4 and its message alone."""
    run = project.run("--pristine-server=sqlite")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "sought: one of auto, url, up, embedded, local, docker for --pristine-server" in run.message()
    assert "found: 'sqlite'" in run.message()
    assert "Traceback" not in run.output
