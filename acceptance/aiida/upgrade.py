"""Brings AiiDA's main branch to head, as its own migrator does for the database of a profile."""

from __future__ import annotations

import os
from pathlib import Path

import aiida.storage.psql_dos
from aiida.manage.configuration.profile import Profile
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, make_url

scripts = Path(aiida.storage.psql_dos.__file__).parent / "migrations"
settings = {"storage": {"backend": "core.psql_dos", "config": {}}, "process_control": {"backend": None, "config": {}}}
profile = Profile("acceptance", settings)
engine = create_engine(make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg"))
config = Config()
config.set_main_option("script_location", str(scripts))
with engine.connect() as connection:
    config.attributes.update(connection=connection, aiida_profile=profile)
    command.upgrade(config, "main@head")
    connection.commit()
