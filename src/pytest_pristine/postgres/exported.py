"""The address of a database as an application reads it: in variables, spelt as its driver wants it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from psycopg import pq
from sqlalchemy.engine import URL

from pytest_pristine.postgres import urls
from pytest_pristine.settings.exports import LIBPQ, PARTS, Export

# An address at which nobody answers, for runs that collect tests and run none: the application can be imported.
NOWHERE = URL.create("postgresql+psycopg", "pristine", host="127.0.0.1", port=1, database="no_test_is_run")

# They would lead libpq elsewhere, whatever the others say.
_MISLEADING = ("PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE")
_NAMED = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
# How a driver calls a parameter that libpq has; the others call it as libpq does.
_ASYNCPG = {"sslmode": "ssl"}


def variables(exports: Sequence[Export], url: URL) -> dict[str, str | None]:
    """The variables that name a database.

    Args:
        exports: Which, and what they hold.
        url: The database.

    Returns:
        Each with its value; None where the variable must not be set.
    """
    found: dict[str, str | None] = {}
    for export in exports:
        if export.name == LIBPQ:
            found |= _libpq(url)
        else:
            found[export.name] = _part(url, export.form) if export.form in PARTS else spelt(url, export.form)
    return found


def spelt(url: URL, driver: str = "") -> str:
    """The URL as text, password included.

    Args:
        url: The URL.
        driver: What it begins with, `postgresql+asyncpg` say; as it is when this is empty.
    """
    url = url.set(drivername=driver) if driver else url
    directory = url.query.get("host")
    name = url.drivername.partition("+")[2]
    if name == "asyncpg":
        url = url.set(query={_ASYNCPG.get(key, key): value for key, value in url.query.items()})
    if isinstance(directory, str) and directory.startswith("/"):
        # A host is what validators of settings want to see. Drivers take the directory of the socket before it.
        url = url.set(host="localhost")
        if name == "pg8000":
            socket = f"{directory}/.s.PGSQL.{url.port or 5432}"
            url = url.difference_update_query(["host"]).update_query_dict({"unix_sock": socket})
    return url.render_as_string(hide_password=False)


def _part(url: URL, part: str) -> str:
    """A part of the URL; the host of a Unix socket is its directory, as libpq and most drivers have it."""
    found = urls.conninfo(url)
    default = {"port": 5432}.get(part, "")
    return str(found.get({"database": "dbname"}.get(part, part), default))


def _libpq(url: URL) -> dict[str, str | None]:
    """Everything that libpq is to know, in its own variables."""
    found: dict[str, str | None] = dict.fromkeys((*_NAMED.values(), *_MISLEADING))
    known = dict(_known())
    given = {known[key]: str(value) for key, value in urls.conninfo(url).items() if key in known}
    return found | given


def _known() -> Iterator[tuple[str, str]]:
    """The parameters of libpq that have a variable, with that."""
    for each in pq.Conninfo.get_defaults():
        if each.envvar:
            yield each.keyword.decode(), each.envvar.decode()
