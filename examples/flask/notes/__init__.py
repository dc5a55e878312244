"""Notes, over HTTP: `flask --app notes run`."""

import os

from flask import Flask
from flask_migrate import Migrate

from notes.models import db
from notes.views import views


class Config:
    """The configuration, read when this module is imported."""

    SQLALCHEMY_DATABASE_URI = os.environ["DATABASE_URL"]
    # Sessions may be ended by the server at any time. In tests they are when the database is made anew.
    SQLALCHEMY_ENGINE_OPTIONS = {"pool_pre_ping": True}  # noqa: RUF012 - as Flask reads it


def create_app() -> Flask:
    """Make the application."""
    made = Flask(__name__)
    made.config.from_object(Config)
    db.init_app(made)
    Migrate(made, db)
    made.register_blueprint(views)
    return made
