"""The project in which pytest is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Home, Project, lay_out


@pytest.fixture
def project(tmp_path: Path, shared_home: Home) -> Project:
    """A project in a directory of one name: those with the same history share a template."""
    return lay_out(tmp_path / "shop", shared_home)
