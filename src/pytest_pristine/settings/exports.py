"""Variables of the application that name the database of the tests, as a project writes them down."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The variables of libpq, all of them: what psql and many drivers read when they are told nothing.
LIBPQ = "PG*"
# A variable that holds a part of the URL, for settings that are put together from parts.
PARTS = ("host", "port", "user", "password", "database")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DRIVER = re.compile(r"postgres(ql)?(\+[a-z][a-z0-9_]*)?")
# What separates entries where there are no lines.
_BETWEEN = re.compile(r"[\n,]")
_RIGHT = (
    "variables, one a line, such as DATABASE_URL, DATABASE_URL = postgresql+asyncpg, "
    f"DB_HOST = host ({', '.join(PARTS[1:])}) or {LIBPQ},"
)


@dataclass(frozen=True, slots=True)
class Export:
    """A variable that the tests set for the application.

    Attributes:
        name: Its name; `PG*` for those of libpq.
        form: What it holds: a URL with this in the place of the driver, or the part of one; the URL of the fixture
            `postgres_url` when it is empty.
    """

    name: str
    form: str = ""

    def __str__(self) -> str:
        return f"{self.name} = {self.form}" if self.form else self.name


def parse(text: str) -> tuple[Export, ...]:
    """Read the variables, one a line or between commas.

    Raises:
        ValueError: One of them is none, or is there twice.
    """
    found: dict[str, Export] = {}
    for entry in filter(None, (each.strip() for each in _BETWEEN.split(text))):
        export = _one(entry)
        if export.name in found:
            raise ValueError(f"each variable once, and not {export.name} twice,")
        found[export.name] = export
    return tuple(found.values())


def _one(entry: str) -> Export:
    name, equals, form = (part.strip() for part in entry.partition("="))
    if name == LIBPQ and not equals:
        return Export(name)
    if not _NAME.fullmatch(name) or (equals and form not in PARTS and not _DRIVER.fullmatch(form)):
        raise ValueError(_RIGHT)
    return Export(name, form)
