"""Where Alembic goes: env.py gets our database in the places where it may look, and can connect to no other."""

from __future__ import annotations

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


def configure(request: Request, connection: Connection) -> Config:
    """The configuration with our database in both places where an env.py may look for it."""
    config = Config(request.config)
    config.set_main_option("sqlalchemy.url", request.url.replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


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
