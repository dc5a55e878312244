"""The page as text: what is in it, and that nobody's words can break out of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources

import pytest

from pytest_pristine.report import page
from pytest_pristine.report.document import Document
from tests.conftest import MAJOR
from tests.report.synthetic import Size, document

pytestmark = pytest.mark.skipif(MAJOR != 18, reason="the report does not depend on the version: once is enough")

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!--<script>",
    # Ended by whatever comes next, without a bracket of their own.
    "</script x",
    "<!-- <script x",
    "]]><img src=x onerror=alert(1)>",
    "{{script}} {{policy}}",
    "\\u003c/script\\u003e \u2028 \u2029 \x00 \ud800 é \"'&amp;",
)


def hostile(words: str) -> Document:
    """A document that has these words wherever it has words of the user's."""
    made = document(Size(failed=2))
    item = replace(made.checklist[-1], title=words, found=words, remedy=[words], offenders=[words])
    first = replace(made.tests[0], id=words, worker=words, message=words, others=[words], left=[words], remade=words)
    assert made.schema
    return replace(
        made,
        project=words,
        checklist=[item],
        tests=[first, *made.tests[1:]],
        tables=[words, *made.tables[1:]],
        shapes=[replace(made.shapes[0], sql=words, slowest_test=0, seconds=99.0), *made.shapes[1:]],
        leaks=[replace(made.leaks[0], test=words, what=words)],
        kept=[replace(made.kept[0], test=words, database=words, command=words)],
        schema=replace(made.schema, objects=[replace(made.schema.objects[6], name=words, table=words, covered=False)]),
    )


class _Elements(HTMLParser):
    """The elements of a page, with what stands in scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.contents: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style"):
            self.contents.append((self.tags[-1][0], data))


def elements(html: str) -> _Elements:
    """The elements of a page."""
    parser = _Elements()
    parser.feed(html)
    return parser


def content(html: str, tag: str) -> list[str]:
    """What stands in the elements of a kind."""
    return [text for name, text in elements(html).contents if name == tag and text.strip()]


@pytest.mark.parametrize("words", HOSTILE)
def test_words_stay_words(words: str) -> None:
    """No test id, statement or other text adds an element to the page, and each comes out as it went in."""
    assert not set(page.embedded(hostile(words))) & set("<>&")
    html, plain = page.render(hostile(words)), page.render(document(Size(failed=2)))
    assert [tag for tag, _ in elements(html).tags] == [tag for tag, _ in elements(plain).tags]
    data = json.loads(content(html, "script")[0])
    assert data["tests"][0]["id"] == data["shapes"][0]["sql"] == data["kept"][0]["command"] == words
    assert content(html, "script")[1] == content(plain, "script")[1]


def test_the_policy_allows_our_style_and_script_alone() -> None:
    """The Content-Security-Policy forbids whatever it does not name, and names two hashes: those of what is there."""
    html = page.render(document(Size()))
    (policy,) = (at["content"] for tag, at in elements(html).tags if at.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    rules = {name: values for name, *values in (rule.split() for rule in policy.split(";"))}
    (style,) = content(html, "style")
    _, script = content(html, "script")
    assert rules == {
        "default-src": ["'none'"],
        "style-src": [f"'{_hash(style)}'"],
        "script-src": [f"'{_hash(script)}'"],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_the_page_names_no_address() -> None:
    """Neither the page's own text nor its elements lead to another file or to the network."""
    html = page.render(document(Size(tests=0, tables=0)))
    assert re.findall(r"https?:|//[a-z]|@import|url\(|\bfetch\(|XMLHttp|WebSocket|sendBeacon", html) == []
    leads = [value for _, at in elements(html).tags for name, value in at.items() if name in ("src", "href")]
    assert sorted(set(leads) - {"data:,"}) == ["#main"]


def test_scripts_set_no_html() -> None:
    """No script of the page makes HTML or code out of text."""
    script = "".join((resources.files("pytest_pristine.report") / "page" / name).read_text() for name in page.SCRIPTS)
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser", script)
        == []
    )


def test_every_script_is_in_the_page() -> None:
    """Each file of the page is used: none was forgotten in the list, none is left over."""
    files = {each.name for each in (resources.files("pytest_pristine.report") / "page").iterdir()}
    assert files == {*page.SCRIPTS, "index.html", "style.css"}


def test_the_same_document_gives_the_same_page() -> None:
    """The page holds nothing but the document: no moment, no random name."""
    assert page.render(document(Size())) == page.render(document(Size()))
