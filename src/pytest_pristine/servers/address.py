"""Where a server of ours is: a file in its directory, which only we can read."""

from __future__ import annotations

import json
from pathlib import Path

from filelock import FileLock
from sqlalchemy.engine import URL

from pytest_pristine import operating_system

_FILE = "server.json"


def lock(directory: Path) -> FileLock:
    """The lock under which the server in a directory is made, started and stopped."""
    directory.mkdir(parents=True, exist_ok=True)
    return FileLock(directory / "lock")


def read(directory: Path) -> URL | None:
    """The address that the server was started with last; None when it never was, or was stopped, or cannot be read."""
    try:
        state = json.loads((directory / _FILE).read_text(encoding="utf-8"))
        return URL.create("postgresql+psycopg", **state)
    except (FileNotFoundError, ValueError, TypeError):
        # A machine that lost its power may have left an empty file.
        return None


def write(directory: Path, url: URL) -> None:
    """Write down where the server is."""
    state = {
        "username": url.username, "password": url.password, "host": url.host, "port": url.port,
        "database": url.database, "query": dict(url.query),
    }  # fmt: skip
    operating_system.write_private(directory / _FILE, json.dumps(state))


def forget(directory: Path) -> None:
    """The server is no longer there."""
    (directory / _FILE).unlink(missing_ok=True)
