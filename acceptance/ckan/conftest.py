"""The project: CKAN's model on a database that CKAN's own command line made; pytest.ini has it."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest
from sqlalchemy import Engine

pytest_plugins = ["dumps"]


@pytest.fixture
def model(proven_clean: None, postgres_engine: Engine) -> Iterator[ModuleType]:
    """CKAN's model, with its sessions on our engine, and without its application."""
    from ckan import model

    model.init_model(postgres_engine)
    yield model
    model.Session.remove()
