"""The settings of the project in the current directory, read as pytest reads them."""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path

import pytest

from pytest_pristine import settings
from pytest_pristine.errors import SettingError
from pytest_pristine.plugin import options
from pytest_pristine.settings import Settings

_INI_FILES = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini", "pyproject.toml", "tox.ini", "setup.cfg")
_OURS = re.compile(r"^\s*pristine_\w+\s*=", re.MULTILINE)


class _Reader:
    """A plugin that takes the settings when pytest has read its configuration, and has it stop there."""

    # See `plugin.collection.READS_ALONE`.
    pristine_reads_alone = True
    settings: Settings | None = None
    root: Path | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        """Read the settings. Whatever this gives ends the run."""
        self.settings, self.root = options.read(config), config.rootpath
        return 0


def read() -> Settings:
    """The settings for a command: from the environment, and from an ini file of the project if it has any of ours.

    Raises:
        SettingError: A value cannot be read, or pytest cannot start with the project's configuration.
    """
    return read_with_root()[0]


def read_with_root() -> tuple[Settings, Path]:
    """The same, and pytest's root directory: the current one where no ini file has a setting of ours."""
    if not any(_is_ours(directory / name) for directory in (Path.cwd(), *Path.cwd().parents) for name in _INI_FILES):
        return settings.resolve(os.environ), Path.cwd()
    reader = _Reader()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        # The project's conftest is its own business, and may do anything. Rewriting assertions would have pytest warn
        # that our modules are imported by now, and warnings may be errors in the project.
        words = ["--noconftest", "--assert=plain", "-p", "no:cacheprovider", "-p", "pristine"]
        status = pytest.main(words, [reader])
    if reader.settings is None or reader.root is None:
        raise SettingError(
            "the project's settings, as pytest reads them",
            f"pytest ends with status {int(status)}:\n{said.getvalue().strip()}",
            ["mend what it says, or run the command outside the project"],
        )
    return reader.settings, reader.root


def _is_ours(path: Path) -> bool:
    try:
        return path.is_file() and _OURS.search(path.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False
