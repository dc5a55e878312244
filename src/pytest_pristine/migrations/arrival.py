"""Whether what makes the schema arrived at the database that it was given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy.engine import URL

from pytest_pristine.errors import StrayMigrationError
from pytest_pristine.postgres import connections, contents, extensions


@contextmanager
def expected(url: URL, who: str, remedy: Sequence[str]) -> Iterator[None]:
    """Something is made within the context, if there was nothing before.

    Args:
        url: The database.
        who: Who is to make it.
        remedy: What to do when it is not.

    Raises:
        StrayMigrationError: The database was empty and still is.
    """
    before = _in(url)
    yield
    if before[0] is None and _in(url) == before:
        raise StrayMigrationError(
            f"the schema that {who} makes in the database {url.database!r}",
            "it ended without an error and left the database empty: it works on another one, or did nothing",
            remedy,
        )


def _in(url: URL) -> tuple[str | None, frozenset[str]]:
    """What is in the database, and the extensions there."""
    with connections.connect(url, "look") as connection:
        return contents.describe(connection), extensions.installed(connection)
