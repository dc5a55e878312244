"""Database URLs: read, shown without their password, and turned into a connection."""

from __future__ import annotations

import re
from urllib.parse import unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from pytest_pristine.errors import NotAPostgresUrlError
from pytest_pristine.postgres import drivers, hiding
from pytest_pristine.postgres.hiding import HIDDEN

EXAMPLE = "postgresql://user:password@localhost:5432/app_test"
# What SQLAlchemy takes for user and password. An @ after it belongs to the password as a rule, with what is between.
_USER = re.compile(r"[\w+]+://(?:[^:/]*(?::[^@]*)?@)?")
# The password in a URL and in a connection string, whoever wrote it.
_PASSWORDS = re.compile(r"(://[^:/@\s]*:)[^@\s]+(@)|(password\s*=\s*)(?:'[^']*'|[^\s&'\"]+)", re.IGNORECASE)


def parse(text: str, origin: str) -> URL:
    """Read a database URL.

    Args:
        text: The URL; `postgres://` and `postgresql://` mean psycopg, a driver that is named is kept.
        origin: Where the text came from, for the message.

    Raises:
        NotAPostgresUrlError: It is no URL, or one of another database.
    """
    # The text itself may hold a password in a place where no pattern finds it: it is never shown.
    sought = f"a Postgres URL in {origin}, such as {EXAMPLE}"
    try:
        url = make_url(text)
        backend = url.get_backend_name()
    except (ArgumentError, ValueError):
        found = "text that is no database URL (not shown: it may hold a password)"
        raise NotAPostgresUrlError(sought, found, [f"set {origin} to a Postgres URL"]) from None
    if backend not in ("postgresql", "postgres"):
        raise NotAPostgresUrlError(sought, f"a URL of {backend}", [_instead_of(backend, origin)])
    if "@" in _USER.sub("", text, count=1):
        where = "in its password" if url.password else "after its host, or a / before it"
        raise NotAPostgresUrlError(sought, f"a URL with an @ {where} (not shown)", [_how_to_write(origin)])
    if not url.database:
        raise NotAPostgresUrlError(
            sought, f"{show(url)}, which names no database", [f"end the URL in {origin} with /name"]
        )
    url = drivers.canonical(_with_socket(url))
    if any("," in host and "/" in host for host in _hosts(url)):
        found = "a socket's directory with a comma in its name, which libpq takes for several hosts"
        raise NotAPostgresUrlError(sought, found, ["name the server's TCP address, or a link to that directory"])
    return url if "+" in url.drivername else url.set(drivername="postgresql+psycopg")


def _with_socket(url: URL) -> URL:
    """The URL with the directory of a Unix socket where drivers look for it, when it was the host, as libpq has it.

    Libpq and SQLAlchemy take such a directory before any host that is named as well; see `exported.spelt`.
    """
    directory = unquote(url.host or "")
    named = url.query.get("host")
    if url.host and isinstance(named, str) and named.startswith("/"):
        return url._replace(host=None)
    if not directory.startswith("/"):
        return url
    return url._replace(host=None).update_query_dict({"host": directory})


def _hosts(url: URL) -> tuple[str, ...]:
    named = url.query.get("host", ())
    return (named,) if isinstance(named, str) else named


def _how_to_write(origin: str) -> str:
    return f"write it as %40 in {origin}, and a / that is part of a user, password or database as %2F"


def _instead_of(backend: str, origin: str) -> str:
    if backend == "sqlite":
        return f"unset {origin}: a Postgres is then found or started, and the tests prove what production does"
    return f"set {origin} to a Postgres URL"


def synchronous(url: URL) -> URL:
    """The URL with a driver for a plain engine: psycopg in the place of one that works with asyncio alone."""
    return drivers.url_for(drivers.synchronous(url), url)


def show(url: URL) -> str:
    """The URL as a person reads it: no driver, no password."""
    hidden = {key: HIDDEN for key in url.query if "password" in key.lower()}
    return url.set(drivername="postgresql").update_query_dict(hidden).render_as_string(hide_password=True)


def conninfo(url: URL) -> dict[str, str | int]:
    """The URL as keyword arguments for psycopg and libpq."""
    url = drivers.canonical(url)
    arguments: dict[str, str | int] = {**drivers.for_libpq(url)}
    named = {
        "host": url.host,
        "port": url.port,
        "user": url.username,
        "password": url.password,
        "dbname": url.database,
    }
    return arguments | {key: value for key, value in named.items() if value is not None}


def redact(text: str, url: URL) -> str:
    """The text without passwords: those in URLs and connection strings, and the one of this URL wherever it stands."""
    return hide(_PASSWORDS.sub(lambda match: f"{match[1] or match[3]}{HIDDEN}{match[2] or ''}", text), url)


def hide(text: str, url: URL) -> str:
    """The text without the password of a URL.

    A password that is also part of the user's or the database's name stays: it would take the names with it.
    """
    for password in _passwords(url):
        if password not in show(url):
            text = hiding.hide(text, password)
    return text


def _passwords(url: URL) -> list[str]:
    """The URL's password and those among its parameters."""
    named = [value for key, value in conninfo(url).items() if "password" in key.lower()]
    return [str(password) for password in named if password]
