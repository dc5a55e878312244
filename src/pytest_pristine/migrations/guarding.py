"""Code of the project that migrates can connect to no database but the one it was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, Engine

from pytest_pristine.postgres import urls

# Names of this machine that mean the same server.
_LOOPBACK = ("127.0.0.1", "::1")


class StrayConnectionError(Exception):
    """A migration connects to another database than the one it was given."""


def guard(url: URL, who: str = "env.py", tried: list[str] | None = None) -> Any:  # noqa: ANN401 - listeners are untyped
    """A listener that refuses every connection of SQLAlchemy's to another database, before it is made.

    Args:
        url: The database that may be connected to.
        who: Who is told to connect elsewhere.
        tried: Gets the name of every database that is connected to, or would have been.
    """
    ours = _place(urls.conninfo(url))

    def refuse(dialect: Any, _record: Any, _args: Any, arguments: dict[str, Any]) -> None:  # noqa: ANN401
        name = arguments.get("dbname") or arguments.get("database")
        if tried is not None:
            tried.append(str(name))
        if dialect.name != "postgresql" or _place(arguments | {"dbname": name}) != ours:
            raise StrayConnectionError(
                f"{who} connects to the {dialect.name} database {name!r} instead; it was refused"
            )

    return refuse


def _place(arguments: Mapping[str, Any]) -> tuple[str, int, object]:
    """Host, port and database of a connection; what is not given is what libpq and the drivers take for it."""
    host = str(arguments.get("host") or "localhost")
    return ("localhost" if host in _LOOPBACK else host), int(arguments.get("port") or 5432), arguments.get("dbname")


@contextmanager
def guarded(url: URL, who: str) -> Iterator[None]:
    """Have SQLAlchemy make no connection to another database, for as long as the context lasts."""
    refuse = guard(url, who)
    event.listen(Engine, "do_connect", refuse)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", refuse)
