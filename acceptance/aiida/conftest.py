"""The project: AiiDA's models on a database that upgrade.py made; pytest.ini has it."""

from __future__ import annotations

import os
import tempfile

import pytest

pytest_plugins = ["dumps"]


def pytest_configure(config: pytest.Config) -> None:
    """Give AiiDA a home that ends with the run: it makes a directory there when it is imported."""
    home = tempfile.TemporaryDirectory(prefix="aiida-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    os.environ["AIIDA_PATH"] = home.name
