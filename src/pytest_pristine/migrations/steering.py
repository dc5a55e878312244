"""Where Alembic goes: env.py gets our database in the places where it may look, and can connect to no other."""

from __future__ import annotations

import io
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

from alembic.config import Config
from sqlalchemy.engine import URL, Connection

from pytest_pristine.migrations.messages import Request
from pytest_pristine.postgres import urls

# Names of this machine that mean the same server.
_LOOPBACK = ("127.0.0.1", "::1")


class StrayConnectionError(Exception):
    """A migration connects to another database than the one it was given."""


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


def configure(request: Request, connection: Connection) -> Config:
    """The configuration with our database in the places where an env.py may look for it."""
    made = config(request)
    url = request.url.replace("%", "%%")
    made.set_main_option("sqlalchemy.url", url)
    if request.database:
        made.set_main_option("databases", request.database)
        made.set_section_option(request.database, "sqlalchemy.url", url)
    made.attributes = _Attributes(connection=connection)
    # Nothing is written here unless env.py takes it that SQL is wanted, as with --sql.
    made.output_buffer = io.StringIO()
    return made


def wrote_sql(config: Config) -> bool:
    """Whether env.py ran the migrations offline."""
    return isinstance(config.output_buffer, io.StringIO) and bool(config.output_buffer.getvalue())


def guard(url: URL) -> Any:  # noqa: ANN401 - SQLAlchemy's listeners are untyped
    """A listener that refuses every connection of SQLAlchemy's to another database, before it is made."""
    ours = _place(urls.conninfo(url))

    def refuse(dialect: Any, _record: Any, _args: Any, arguments: dict[str, Any]) -> None:  # noqa: ANN401
        name = arguments.get("dbname") or arguments.get("database")
        if dialect.name != "postgresql" or _place(arguments | {"dbname": name}) != ours:
            raise StrayConnectionError(
                f"env.py connects to the {dialect.name} database {name!r} instead; it was refused"
            )

    return refuse


def _place(arguments: Mapping[str, Any]) -> tuple[str, int, object]:
    """Host, port and database of a connection; what is not given is what libpq and the drivers take for it."""
    host = str(arguments.get("host") or "localhost")
    return ("localhost" if host in _LOOPBACK else host), int(arguments.get("port") or 5432), arguments.get("dbname")
