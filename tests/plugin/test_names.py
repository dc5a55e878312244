"""The names that the plugin takes: options, ini keys, fixtures, and what the package exports."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import pytest_pristine
from pytest_pristine import plugin, settings
from pytest_pristine.settings import Setting


@pytest.mark.parametrize("setting", settings.ALL, ids=lambda setting: setting.name)
def test_options_and_keys_have_our_prefix(pytestconfig: pytest.Config, setting: Setting[object]) -> None:
    """Every setting is --pristine-*, pristine_* and PRISTINE_*, but for the variable that is the community's."""
    assert setting.option.startswith("--pristine-")
    assert setting.ini.startswith("pristine_")
    assert setting.environ.startswith("PRISTINE_") or setting.environ == "TEST_DATABASE_URL"
    assert pytestconfig.getini(setting.ini) is None
    assert pytestconfig.getoption(setting.option) is None


class Recorder:
    """Stands for pytest's parser, and writes down what is registered."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def getgroup(self, *_: object) -> Recorder:
        """Groups do not matter."""
        return self

    def addoption(self, *names: str, **_: object) -> None:
        """An option."""
        self.names += names

    def addini(self, name: str, *_: object, **__: object) -> None:
        """An ini key."""
        self.names.append(name)


def test_nothing_else_is_registered() -> None:
    """The plugin registers no option and no key without our prefix."""
    recorder = Recorder()
    plugin.pytest_addoption(recorder)  # type: ignore[arg-type]
    assert len(recorder.names) == 2 * len(settings.ALL)
    assert all(name.startswith(("--pristine-", "pristine_")) for name in recorder.names)


def test_exported_names() -> None:
    """The package exports these names and no others, and each can be imported."""
    assert pytest_pristine.__all__ == [
        "Alembic", "Call", "Command", "LeftoverWarning", "Migrator", "Models", "PostgresServer", "PristineError",
        "PristineWarning", "SchemaChangedWarning", "SqlFiles", "Steps", "Workspace",
    ]  # fmt: skip
    for name in pytest_pristine.__all__:
        exported = getattr(pytest_pristine, name)
        assert exported.__name__ == name
        assert exported is getattr(importlib.import_module(exported.__module__), name)
    assert set(pytest_pristine.__all__) == set(pytest_pristine._HOMES)


def test_a_name_that_is_not_exported() -> None:
    """Asking for another name is the usual error."""
    with pytest.raises(AttributeError, match="module 'pytest_pristine' has no attribute 'Engine'"):
        _ = pytest_pristine.Engine  # type: ignore[attr-defined]


def test_importing_the_package_and_the_plugin_is_cheap() -> None:
    """Importing the package and its plugin imports neither SQLAlchemy, Alembic, psycopg nor psutil."""
    script = (
        "import sys, pytest_pristine, pytest_pristine.plugin;"
        "print({'sqlalchemy', 'alembic', 'psycopg', 'psutil', 'filelock', 'platformdirs'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_fixtures_and_hooks_of_the_plugin() -> None:
    """The plugin's fixtures are the documented ones, and one of its own that begins with our name."""
    fixtures = {name for name in plugin.__all__ if not name.startswith("pytest_")}
    assert fixtures == {"postgres_server", "apply_migrations", "postgres_url", "postgres_engine", "clean_database",
                        "_pristine_isolation"}  # fmt: skip
