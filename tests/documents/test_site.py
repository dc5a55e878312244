"""The site is whole: it builds strictly, fetches nothing from elsewhere, can be read in the dark and on a telephone."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from docs.generate import hooks
from tests.conftest import wait_until
from tests.report.conftest import browser

__all__ = ["browser"]  # the fixture

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Pages of each kind: text, code, wide tables, drawings, made of the code, taken from outside docs/.
PAGES = (
    "", "start/", "guide/", "how-it-works/", "comparison/", "benchmarks/", "reference/settings/", "reference/errors/",
    "repository/CHANGELOG/",
)  # fmt: skip
# What a page loads by itself; links are for the reader to follow.
_LOADED = re.compile(r"""<(?:script|img|iframe|source)[^>]*\ssrc=["']?([^"'\s>]+)|<link[^>]*\shref=["']?([^"'\s>]+)""")


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly."""
    directory = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(directory)],
        cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return directory


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Where the site is served; its search needs a server."""
    handler = functools.partial(_Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def _open(browser: Browser, **options: object) -> tuple[Page, list[str], list[str]]:
    """A page, with what it fetches and what goes wrong in it."""
    page = browser.new_context(**options).new_page()  # type: ignore[arg-type]
    requests: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("response", lambda response: errors.append(response.url) if response.status >= 400 else None)
    return page, requests, errors


def test_every_page_is_in_the_site(site: Path) -> None:
    """Each document becomes a page, and so do those outside docs/ that are linked to."""
    for path in DOCS.rglob("*.md"):
        name = path.relative_to(DOCS).with_suffix("")
        directory = name.parent if name.name == "index" else name
        assert (site / directory / "index.html").is_file(), path
    assert (site / "repository/bench/restore/index.html").is_file()
    assert (site / "repository/bench/restore/results/superuser.json").is_file()


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    """No page names a script, a style, a font or a picture on another host."""
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for path in pages:
        loaded = ["".join(pair) for pair in _LOADED.findall(path.read_text(encoding="utf-8"))]
        assert [name for name in loaded if "//" in name] == [], path
    for path in site.rglob("*.css"):
        assert "url(http" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_asks_nobody_else(browser: Browser, address: str, scheme: str) -> None:
    """Pages are shown in the scheme that the reader's system has, and their browser asks nobody but the site."""
    page, requests, errors = _open(browser, color_scheme=scheme)
    for name in PAGES:
        page.goto(address + name)
    assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
    assert errors == []
    assert page.evaluate("document.body.dataset.mdColorScheme") == {"light": "default", "dark": "slate"}[scheme]
    page.context.close()


def test_pages_fit_a_telephone(browser: Browser, address: str) -> None:
    """No page is wider than a narrow window: what is wide, a table or a drawing, scrolls within it."""
    page, _, _ = _open(browser, viewport={"width": 390, "height": 844})
    for name in PAGES:
        page.goto(address + name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
    page.context.close()


def test_drawings_take_the_colours_of_the_page(browser: Browser, address: str) -> None:
    """A drawing stands in the page, with letters that are light in the dark and dark in the light."""
    inks = []
    for scheme in ("light", "dark"):
        page, _, _ = _open(browser, color_scheme=scheme)
        page.goto(address + "how-it-works/")
        assert page.locator(".drawing svg").count() == 4
        inks.append(page.evaluate("getComputedStyle(document.querySelector('.drawing text')).fill"))
        page.context.close()
    assert inks[0] != inks[1]


def test_the_search_finds_a_setting(browser: Browser, address: str) -> None:
    """Who searches for a setting is led to the reference."""
    page, _, _ = _open(browser)
    page.goto(address)
    field, found = page.locator("input[name=query]"), page.locator(".md-search-result__link")

    def finds() -> bool:
        # What is typed before the search has its index is not looked for.
        field.fill("")
        field.press_sequentially("pristine_restore_timeout")
        page.wait_for_timeout(500)
        return found.count() > 0

    wait_until(finds, "the search finds something")
    assert any("reference/settings" in str(link.get_attribute("href")) for link in found.all())
    page.context.close()


def test_links_are_led_to_where_the_site_has_them() -> None:
    """Links into docs/, out of it, and to what the site does not have; code is left alone."""
    text = "[docs/servers.md](docs/servers.md#root) [b](bench/README.md) [c](dev.py) [d](https://example.org)\n```\n[e](dev.py)\n```"
    source = ROOT / "README.md"
    made = hooks.rewritten(text, lambda link, target: hooks._relinked(link, target, source, "repository/README.md"))
    assert made == (
        "[Where Postgres comes from](../servers.md#root) [b](bench/README.md) c [d](https://example.org)\n```\n[e](dev.py)\n```"
    )


def test_pages_that_are_awaited_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The navigation has no page that is awaited and not there, and keeps one that is missing otherwise."""
    monkeypatch.setattr(hooks, "AWAITED", frozenset({"awaited.md", "start.md"}))
    nav = [{"A": "a-missing-page.md"}, {"Group": [{"Start": "start.md"}, {"B": "awaited.md"}]}]
    assert hooks._present(nav, DOCS) == [{"A": "a-missing-page.md"}, {"Group": [{"Start": "start.md"}]}]
