"""What a collected test will ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_pristine.plugin import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

# Where our fixtures are, which a project may override.
_HOME = "pytest_pristine.plugin.fixtures"
# Those that give a database, which a project may replace by something that is no Postgres.
DATABASES = (
    "postgres_engine", "postgres_url", "postgres_async_engine", "postgres_session", "postgres_async_session",
)  # fmt: skip
_SERVER, _DATABASE = "postgres_server", "apply_migrations"
# Those that undo what a test does.
_UNDOING = ("clean_database", "postgres_session", "postgres_async_session")
# What gives a test a database of its own.
_FRESH = "fresh_database"
# What gives it one that it shares with others.
_SHARED = ("clean_database", *DATABASES)
# What all of ours build on that give a database.
_WATCHED = "_pristine_isolation"
# Options of runs that collect tests and do not run them. The plugins that have them may be switched off.
_RUN_NO_TEST = (
    "collectonly", "setupplan", "showfixtures", "show_fixtures_per_test", "help", "version", "markers", "cacheshow",
)  # fmt: skip
# A plugin that has this attribute ends the run before any test.
READS_ALONE = "pristine_reads_alone"
# What all tests ask for where the application is told of the database; see `exporting`.
EXPORTED = "_pristine_exported"


def runs_tests(config: pytest.Config) -> bool:
    """Whether tests are run after they were collected."""
    return not any(options.flag(config, name) for name in _RUN_NO_TEST) and not any(
        hasattr(plugin, READS_ALONE) for plugin in config.pluginmanager.get_plugins()
    )


def needs_server(item: pytest.Item) -> bool:
    """Whether the test asks, directly or through others, for `postgres_server`, and it is ours."""
    if _SERVER not in getattr(item, "fixturenames", ()):
        return False
    found = definitions(item, _SERVER)
    return bool(found) and is_ours(found[-1])


def asks_for_server(item: pytest.Item) -> bool:
    """Whether it does so itself, and not only as all tests do whose application is told of the database."""
    info = getattr(item, "_fixtureinfo", None)
    if info is None or EXPORTED not in info.initialnames:
        return needs_server(item)
    reached: set[str] = set()
    ahead = [name for name in info.initialnames if name != EXPORTED]
    while ahead:
        name = ahead.pop()
        if name not in reached:
            reached.add(name)
            ahead += [each for found in info.name2fixturedefs.get(name, ()) for each in found.argnames]
    return _SERVER in reached and needs_server(item)


def needs_database(item: pytest.Item) -> bool:
    """Whether it asks for `apply_migrations`, and that is ours or one that builds on it."""
    return _reaches(item, _DATABASE)


def names_ours(item: pytest.Item) -> bool:
    """Whether the test asks for a fixture by one of our names, or may do so while it runs."""
    names = getattr(item, "fixturenames", ())
    return _SERVER in names or "request" in names or any(name in names for name in DATABASES)


def cleans(item: pytest.Item) -> bool:
    """Whether the test asks by name for a fixture that undoes it, ours or one that builds on it. It may do so later."""
    return any(_reaches(item, name) for name in _UNDOING)


def wants_fresh(item: pytest.Item) -> bool:
    """Whether the test asks for `fresh_database`, ours or one that builds on it. It may do so later, too."""
    return _reaches(item, _FRESH)


def keeps_to_itself(item: pytest.Item) -> bool:
    """Whether the test asks for a database of its own, and for none that it shares with others."""
    return wants_fresh(item) and not any(name in getattr(item, "fixturenames", ()) for name in _SHARED)


def has_used_shared(item: pytest.Item) -> bool:
    """Whether the test has come to a database that it shares with others by now."""
    request = getattr(item, "_request", None)
    return any(name in getattr(request, "_fixture_defs", ()) for name in _SHARED)


def has_used(item: pytest.Item) -> bool:
    """Whether the test has come to a database of ours by now; `getfixturevalue` gives fixtures that nobody foresaw."""
    request = getattr(item, "_request", None)
    return _WATCHED in getattr(request, "_fixture_defs", ())


def _reaches(item: pytest.Item, name: str) -> bool:
    """Whether the test asks for a fixture, and that is ours or one that builds on it."""
    if name not in getattr(item, "fixturenames", ()):
        return False
    for definition in reversed(definitions(item, name)):
        if is_ours(definition):
            return True
        if name not in definition.argnames:
            return False
    return False


def is_ours(definition: pytest.FixtureDef[object]) -> bool:
    """Whether a fixture is the plugin's own, and not a project's in its place."""
    return definition.func.__module__ == _HOME


def leads_to_database(item: pytest.Item, name: str) -> bool:
    """Whether a fixture that a test asks for builds on `apply_migrations`, directly or through others."""
    pending, seen = [name], set[str]()
    while pending:
        each = pending.pop()
        if each == _DATABASE:
            return True
        if each not in seen:
            seen.add(each)
            pending += [argument for definition in definitions(item, each) for argument in definition.argnames]
    return False


def definitions(item: pytest.Item, name: str) -> Sequence[pytest.FixtureDef[object]]:
    """The fixtures of a name that a test can see; it asks for the last one, which may build on the one before."""
    return item.session._fixturemanager.getfixturedefs(name, item) or ()  # noqa: SLF001 - there is no public way
