"""Where Alembic goes: env.py gets our database in the places where it may look."""

from __future__ import annotations

import io
from argparse import Namespace
from typing import Any

from alembic.config import Config
from sqlalchemy.engine import Connection

from pytest_pristine.migrations.messages import Request


class _Attributes(dict[str, Any]):
    """What env.py is given, and whether it ever looked at it."""

    seen = False

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - as a dictionary's
        self.seen = True
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - the same
        """As a dictionary's."""
        self.seen = True
        return super().get(name, default)


def config(request: Request) -> Config:
    """The configuration, as Alembic's own command would read it."""
    # Only a new Alembic reads pyproject.toml.
    of_toml: dict[str, Any] = {"toml_file": request.toml} if request.toml else {}
    given = Namespace(x=list(request.x) or None)
    return Config(request.ini or None, ini_section=request.section, cmd_opts=given, **of_toml)


def configure(request: Request, connection: Connection | None) -> Config:
    """The configuration with our database in the places where an env.py may look for it."""
    made = config(request)
    url = request.url.replace("%", "%%")
    made.set_main_option("sqlalchemy.url", url)
    if request.database:
        made.set_main_option("databases", request.database)
        made.set_section_option(request.database, "sqlalchemy.url", url)
    if connection is not None:
        # pytest-alembic hands an engine over in its place: an env.py that was written for it connects first.
        connection.connect = lambda: connection  # type: ignore[attr-defined]
    made.attributes = _Attributes(connection=connection)
    # Nothing is written here unless env.py takes it that SQL is wanted, as with --sql.
    made.output_buffer = io.StringIO()
    return made


def took_connection(config: Config) -> bool:
    """Whether env.py looked for the connection that it was given."""
    return isinstance(config.attributes, _Attributes) and config.attributes.seen


def wrote_sql(config: Config) -> bool:
    """Whether env.py ran the migrations offline."""
    return isinstance(config.output_buffer, io.StringIO) and bool(config.output_buffer.getvalue())
