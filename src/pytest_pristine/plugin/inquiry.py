"""Tells `pristine doctor` what pytest makes of the project's configuration; see `diagnosis.configuration`.

It is loaded with `-p` in a process of its own, and no test is collected there.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from pytest_pristine import settings
from pytest_pristine.diagnosis.configuration import ANSWER

_PLUGIN = "pytest_pristine.plugin"
# See `collection.READS_ALONE`.
pristine_reads_alone = True


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int:
    """Answer instead of running tests."""
    answer = {
        "root": str(config.rootpath),
        "file": None if config.inipath is None else str(config.inipath),
        "options": _options(config),
        "values": _values(config),
        "keys": sorted(getattr(config, "inicfg", ())),  # there is no public way to see keys that are not registered
        "registered": sys.modules.get(_PLUGIN) in config.pluginmanager.get_plugins(),
        "blocked": config.pluginmanager.is_blocked("pristine"),
        "plugins": sorted({str(found.project_name) for _, found in config.pluginmanager.list_plugin_distinfo()}),
        "testpaths": config.getini("testpaths"),
        "patterns": config.getini("python_files"),
    }
    Path(os.environ[ANSWER]).write_text(json.dumps(answer), encoding="utf-8")
    return 0


def _options(config: pytest.Config) -> dict[str, str]:
    """Our options, as far as they were given: by `addopts` or PYTEST_ADDOPTS."""
    given = {setting.name: config.getoption(f"pristine_{setting.name}", None) for setting in settings.ALL}
    return {name: str(value) for name, value in given.items() if value is not None}


def _values(config: pytest.Config) -> dict[str, str]:
    """Our ini keys, as far as they were given."""
    found = {}
    for setting in settings.ALL:
        try:
            value = config.getini(setting.ini)
        except (KeyError, ValueError):
            continue  # our plugin is switched off
        if value is not None:
            found[setting.ini] = "\n".join(value) if isinstance(value, list) else str(value)
    return found
