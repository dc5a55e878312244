"""Options and ini keys, one of each for every setting."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Literal, TypeVar

import pytest

from pytest_pristine import settings
from pytest_pristine.settings import Setting, Settings

T = TypeVar("T")

_DESTINATION = "pristine_"
# Variables as they were before the tests set them for the application: it is not what a user has said to us.
BEFORE = pytest.StashKey[dict[str, str | None]]()


def register(parser: pytest.Parser) -> None:
    """Add every setting to pytest's options and ini keys."""
    group = parser.getgroup("pristine", "a real Postgres for tests (pytest-pristine)")
    for setting in settings.ALL:
        if setting.flag:
            group.addoption(
                setting.option,
                action="store_const",
                const="true",
                dest=_destination(setting),
                help=setting.help,
            )
        else:
            group.addoption(setting.option, dest=_destination(setting), metavar="VALUE", help=setting.help)
        # A default of None, and no text of its own, tells a key that was not given from one that is empty.
        kind: Literal["linelist", "string"] = "linelist" if setting.lines else "string"
        parser.addini(setting.ini, setting.help, type=kind, default=None)


def read(config: pytest.Config) -> Settings:
    """The settings of this run.

    Raises:
        SettingError: A value cannot be read.
    """
    return settings.resolve(_environ(config), *_given(config))


def read_one(config: pytest.Config, setting: Setting[T]) -> T:
    """The value of one setting, whatever the others are.

    Raises:
        SettingError: It cannot be read.
    """
    return settings.resolve_one(setting, _environ(config), *_given(config)).value


def flag(config: pytest.Config, name: str) -> object:
    """An option of pytest or of any plugin, also before all plugins are known; None where there is no such option."""
    found = getattr(config.option, name, None)
    # pytest has read the command line, and not yet noted what it read, when it imports the first conftest.py.
    early = getattr(config, "known_args_namespace", None)
    return getattr(early, name, None) if found is None or found is False else found


def _environ(config: pytest.Config) -> Mapping[str, str]:
    """The environment as the user gave it."""
    before = config.stash.get(BEFORE, {})
    found = {**os.environ, **before}
    return {name: value for name, value in found.items() if value is not None}


def _given(config: pytest.Config) -> tuple[Callable[[str], str | None], Callable[[str], str | None]]:
    """What gives the text of an option, and of an ini key."""

    def option(name: str) -> str | None:
        value = flag(config, _DESTINATION + name)
        return None if value is None else str(value)

    def ini(key: str) -> str | None:
        value = config.getini(key)
        return "\n".join(value) if isinstance(value, list) else value

    return option, ini


def _destination(setting: Setting[object]) -> str:
    return _DESTINATION + setting.name
