"""Where the database is, in the two spellings that the libraries want."""

import os

from sqlalchemy import URL, Engine, create_engine, make_url


def database_url() -> URL:
    """Read `DATABASE_URL`.

    Raises:
        KeyError: the variable is not set; there is no default that could be somebody else's database.
    """
    return psycopg_url(make_url(os.environ["DATABASE_URL"]))


def psycopg_url(url: URL) -> URL:
    """Return the URL with the driver that this application is written for."""
    return url.set(drivername="postgresql+psycopg")


def conninfo(url: URL) -> str:
    """Return the URL as libpq reads it, password included."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def make_engine(url: URL) -> Engine:
    """Make the process's one engine; the caller disposes of it."""
    return create_engine(url, pool_pre_ping=True)
