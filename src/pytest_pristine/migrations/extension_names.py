"""The names of the extensions that a text of SQL creates."""

from __future__ import annotations

import re
from collections.abc import Iterator

# feature_not_supported, undefined_file: what CREATE EXTENSION says, before PostgreSQL 15 too.
NOT_INSTALLED = ("0A000", "58P01")

_CREATE = re.compile(r"\bCREATE\s+EXTENSION\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:\"([^\"]+)\"|([A-Za-z_]\w*))", re.IGNORECASE)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


def in_statement(sql: str) -> Iterator[str]:
    """The names, in order."""
    for quoted, plain in _CREATE.findall(_COMMENT.sub(" ", sql)):
        yield quoted or plain.lower()
