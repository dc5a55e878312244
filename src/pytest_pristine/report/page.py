"""The page: one HTML file that needs nothing else, and that nobody's words can break out of."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources

from pytest_pristine.report.document import Document

# In the order in which they run: what stands first is used by what follows.
SCRIPTS = (
    "base.js", "dom.js", "checklist.js", "canvas.js", "time.js", "timeline.js", "rows.js", "tests.js", "statements.js",
    "order.js", "map.js", "writers.js", "schema.js", "treemap.js", "leaks.js", "main.js",
)  # fmt: skip
# A place in the skeleton that is filled in.
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def render(document: Document) -> str:
    """The page of a document, as HTML."""
    style, script = _style(), _script()
    parts = {"policy": _policy(style, script), "style": style, "script": script, "document": embedded(document)}
    # In one go: what is filled in is not looked at again, whatever stands in it.
    return _PLACE.sub(lambda place: parts[place[1]], _read("index.html"))


def embedded(document: Document) -> str:
    """The document as JSON that can stand in a `<script>`: nothing in it can end the element or begin a comment."""
    return document.as_json().replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _style() -> str:
    return _read("style.css")


def _script() -> str:
    return "".join(_read(name) for name in SCRIPTS)


def _policy(style: str, script: str) -> str:
    """The Content-Security-Policy: nothing is fetched, and nothing runs but our style and our script."""
    return "; ".join(
        [
            "default-src 'none'",
            f"style-src '{_hashed(style)}'",
            f"script-src '{_hashed(script)}'",
            # The empty icon, without which a browser asks the server for one.
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


def _hashed(text: str) -> str:
    """What a policy calls the text of an element."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _read(name: str) -> str:
    """A file of the page. Its lines end as HTML has them, for the policy's sake, however they were checked out."""
    file = resources.files("pytest_pristine.report") / "page" / name
    return file.read_text(encoding="utf-8").replace("\r\n", "\n")
