"""What a collected test will ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_pristine.plugin.fixtures import apply_migrations, postgres_server

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

# Options of runs that collect tests and do not run them. The plugins that have them may be switched off.
_RUN_NO_TEST = ("collectonly", "setupplan", "showfixtures", "show_fixtures_per_test")


def runs_tests(config: pytest.Config) -> bool:
    """Whether tests are run after they were collected."""
    return not any(getattr(config.option, name, False) for name in _RUN_NO_TEST)


def needs_server(item: pytest.Item) -> bool:
    """Whether the test asks, directly or through others, for `postgres_server`, and it is ours."""
    if postgres_server.__name__ not in getattr(item, "fixturenames", ()):
        return False
    definitions = _definitions(item, postgres_server.__name__)
    return bool(definitions) and definitions[-1].func.__module__ == postgres_server.__module__


def needs_database(item: pytest.Item) -> bool:
    """Whether it asks for `apply_migrations`, and that is ours or one that builds on it."""
    if apply_migrations.__name__ not in getattr(item, "fixturenames", ()):
        return False
    for definition in reversed(_definitions(item, apply_migrations.__name__)):
        if definition.func.__module__ == apply_migrations.__module__:
            return True
        if apply_migrations.__name__ not in definition.argnames:
            return False
    return False


def _definitions(item: pytest.Item, name: str) -> Sequence[pytest.FixtureDef[object]]:
    return item.session._fixturemanager.getfixturedefs(name, item) or ()  # noqa: SLF001 - there is no public way
