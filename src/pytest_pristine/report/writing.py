"""Writing the report into a directory: two files, each whole or not at all."""

from __future__ import annotations

import secrets
from pathlib import Path

from pytest_pristine.errors import ReportError
from pytest_pristine.report import page
from pytest_pristine.report.document import Document

PAGE = "index.html"
DATA = "report.json"


def write(document: Document, directory: Path) -> Path:
    """Write the page and the JSON file of a document, in place of earlier ones; gives the path of the page.

    Raises:
        ReportError: The directory cannot be made, or not be written to.
    """
    texts = {DATA: document.as_json() + "\n", PAGE: page.render(document)}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            _replace(directory / name, text)
    except OSError as error:
        raise ReportError(
            f"to write the report into {directory}",
            f"{error.strerror or error}: {error.filename or directory}",
            ["--pristine-report=DIR with a directory that can be made and written to"],
        ) from error
    return directory / PAGE


def _replace(path: Path, text: str) -> None:
    """Write a file under another name and rename it: who reads it meanwhile reads the old one, or the new one."""
    # Not tempfile's, whose files nobody else can read: a CI service collects these as another user.
    new = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    try:
        new.write_text(text, encoding="utf-8", newline="\n")
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
