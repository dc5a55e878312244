"""What every check is given: the project, its settings, and where the doctor was called."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_pristine import settings
from pytest_pristine.diagnosis import configuration
from pytest_pristine.diagnosis.configuration import Configuration
from pytest_pristine.errors import SettingError
from pytest_pristine.settings import Settings


@dataclass(frozen=True, slots=True)
class Context:
    """What is looked at.

    Attributes:
        directory: Where the doctor was called.
        environ: The environment.
        configuration: What pytest makes of the project's configuration.
        settings: Our settings; those that cannot be read have their defaults.
        unreadable: Why settings cannot be read, by their names.
        port: The port of the guide.
    """

    directory: Path
    environ: Mapping[str, str]
    configuration: Configuration
    settings: Settings
    unreadable: Mapping[str, SettingError]
    port: int

    @property
    def root(self) -> Path:
        """The root directory that pytest takes."""
        return self.configuration.root

    def shown(self, path: Path) -> str:
        """A path as a person reads it: relative to where the doctor was called, if it lies below."""
        return str(path.relative_to(self.directory)) if path.is_relative_to(self.directory) else str(path)

    def redact(self, text: str) -> str:
        """The text of an error that is not ours, without passwords."""
        try:
            from sqlalchemy.engine import URL, make_url  # what cannot be imported is a finding, not our end
            from sqlalchemy.exc import ArgumentError

            from pytest_pristine.postgres import urls
        except ImportError:
            return text  # without SQLAlchemy no URL was read
        for given in (self.environ.get("TEST_DATABASE_URL"), self.settings.url.value):
            try:
                url = make_url(given or "postgresql://")
            except (ArgumentError, ValueError):
                return "an error (not shown: it may hold a password)"
            text = urls.redact(text, url)
        return urls.redact(text, URL.create("postgresql", password=self.environ.get("PGPASSWORD")))


def read(directory: Path, tests: Sequence[str], environ: Mapping[str, str], port: int) -> Context:
    """Ask pytest for the configuration, and read the settings as far as they can be read.

    Args:
        directory: Where the doctor was called.
        tests: What pytest would be given.
        environ: The environment.
        port: The port of the guide.
    """
    found = configuration.read(directory, tests, environ)
    unreadable: dict[str, SettingError] = {}
    for setting in settings.ALL:
        try:
            _resolve(environ, found, {setting.name})
        except SettingError as error:
            unreadable[setting.name] = error
    chosen = _resolve(environ, found, {setting.name for setting in settings.ALL} - unreadable.keys())
    return Context(directory, environ, found, chosen, unreadable, port)


def _resolve(environ: Mapping[str, str], found: Configuration, wanted: Collection[str]) -> Settings:
    """The settings that are wanted, and the defaults of the others."""
    variables = {setting.environ for setting in settings.ALL if setting.name not in wanted}
    keys = {setting.ini for setting in settings.ALL if setting.name in wanted}
    return settings.resolve(
        {name: value for name, value in environ.items() if name not in variables},
        lambda name: found.options.get(name) if name in wanted else None,
        lambda key: found.values.get(key) if key in keys else None,
    )
