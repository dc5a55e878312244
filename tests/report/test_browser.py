"""The page in a real Chromium: what is there, for whom, and that nothing is fetched."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from pytest_pristine.report.document import Document
from tests.conftest import MAJOR
from tests.report.conftest import Opened
from tests.report.synthetic import Size, document
from tests.report.test_page import HOSTILE, hostile

pytestmark = pytest.mark.skipif(MAJOR != 18, reason="the report does not depend on the version: once is enough")

Look = Callable[..., Opened]

EMPTY = Size(tests=0, tables=0, schema=False)
FAILED = Size(tests=120, tables=30, failed=7, workers=2)
LARGE = Size(tests=5000, tables=500, failed=25, workers=8)
PHONE = {"viewport": {"width": 360, "height": 740}}

# Texts whose contrast with what is behind them is less than WCAG asks for at level AA.
_CONTRAST = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((each) => each / 255)
    .map((each) => (each <= 0.03928 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
    .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parts(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const poor = [];
  let looked = 0;
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if ((!words && !element.matches("input, select")) || !element.checkVisibility()) continue;
    if (element.matches("script, style, .skip, .hidden")) continue;
    looked += 1;
    const style = getComputedStyle(element);
    const [one, other] = [light(parts(style.color)), light(ground(element))].sort((a, b) => b - a);
    const ratio = (one + 0.05) / (other + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)}: ${element.tagName} ${element.textContent.slice(0, 40)}`);
  }
  return { looked, poor };
}"""

# Controls that a screen reader has no name for.
_NAMELESS = """() => [...document.querySelectorAll("a, button, input, select, summary, canvas, [tabindex='0']")]
  .filter((each) => !(each.getAttribute("aria-label") || each.textContent).trim())
  .map((each) => each.outerHTML.slice(0, 200))"""

_LEVELS = "[...document.querySelectorAll('h1, h2, h3, h4')].map((each) => Number(each.tagName[1]))"

# What has the focus after each press of Tab, and whether one sees that it has.
_FOCUS = """() => {
  const style = getComputedStyle(document.activeElement);
  const { id, className, tagName } = document.activeElement;
  return [id || className || tagName, style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1];
}"""

_SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def chosen(name: str) -> dict[str, Any]:
    """What makes a browser one of somebody who prefers a colour scheme."""
    return {"color_scheme": name}


@pytest.mark.parametrize("size", [EMPTY, Size(), FAILED, LARGE], ids=["empty", "small", "failed", "large"])
def test_nothing_is_fetched_and_nothing_complains(look: Look, size: Size) -> None:
    """Opened from the disk, the page asks for no other file, and neither scripts nor the policy have a complaint."""
    opened = look(document(size))
    opened.page.wait_for_load_state("networkidle")
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1
    assert opened.said == []


def test_the_policy_holds(look: Look) -> None:
    """Whatever would be smuggled into the page, the browser neither runs nor fetches it: nobody is called."""
    opened = look(document(Size()))
    with socket.create_server(("127.0.0.1", 0)) as server:
        opened.page.evaluate(
            """async (port) => {
              const script = document.createElement("script");
              script.textContent = "window.smuggled = true";
              const image = document.createElement("img");
              const failed = new Promise((resolve) => image.addEventListener("error", resolve));
              image.src = `http://127.0.0.1:${port}/image.png`;
              document.body.append(script, image);
              await fetch(`http://127.0.0.1:${port}/data`).catch(() => null);
              await failed;
            }""",
            server.getsockname()[1],
        )
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert opened.page.evaluate("window.smuggled") is None
    assert len(opened.said) >= 3
    assert all("Content Security Policy" in words for words in opened.said)


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_are_shown(look: Look, words: str) -> None:
    """Names and statements that look like HTML are shown as they are, in every section."""
    opened = look(hostile(words))
    opened.find("#viewport .name").first.click()
    for each in opened.find("summary").all():
        each.evaluate("summary => { summary.parentElement.open = true; }")
    assert opened.said == []
    assert opened.find("img, main script, main iframe").count() == 0
    # Chromium shows a lone surrogate as what it has for it; a NUL stays.
    beginning = words.split("\ud800", maxsplit=1)[0].split("\u2028", maxsplit=1)[0].strip()
    for section in ("checklist", "failures", "tests", "statements", "tables", "schema", "leaks", "kept"):
        assert beginning in str(opened.find(f"#{section}").evaluate("section => section.textContent")), section


def test_the_sections_are_there(look: Look) -> None:
    """The page has its sections in order, the checklist first, with landmarks and a title."""
    opened = look(document(FAILED))
    assert opened.page.title() == "shop: pytest-pristine report"
    assert opened.texts("h1") == ["shop"]
    assert opened.texts("h2") == [
        "Checklist", "Failed tests", "Time", "Tests", "Statements", "Who writes what", "Schema coverage", "Leaks",
        "Kept databases",
    ]  # fmt: skip
    assert [opened.find(mark).count() for mark in ("header", "nav", "main", "footer")] == [1, 1, 1, 1]
    facts = opened.texts("#facts span")
    assert facts[0].startswith("✗ ")
    assert "PostgreSQL 18.6 (embedded)" in facts
    assert "2026-03-14 09:26:53 UTC" in facts


def test_failed_items_come_first(look: Look) -> None:
    """Failed items lead the checklist, with a sign and a word, what was found, what to do, and who it was."""
    opened = look(document(FAILED))
    items = opened.texts("#checks > ul > li")
    assert [item.split()[:2] for item in items] == [["✗", "failed"]] * 2 + [["?", "unknown"]] + [["✓", "passed"]] * 3
    assert "2 tables differ from the template after the last restore" in items[0]
    assert "pytest --pristine-check=each names the test" in items[0]
    assert not opened.find("text=test_total[9] left orders 9 rows").is_visible()
    opened.find("#checks summary").first.click()
    assert opened.find("text=test_total[9] left orders 9 rows").is_visible()


def test_empty_sections_say_so(look: Look) -> None:
    """A section that has nothing to show says so in a sentence; the one of schema coverage says how to measure it."""
    opened = look(replace(document(EMPTY), checklist=[], server=None))
    told = {name: " ".join(opened.texts(f"#{name} p")) for name in ("checklist", "failures", "tests", "leaks", "kept")}
    assert told == {
        "checklist": "This run has no checklist.",
        "failures": "No test was run.",
        "tests": "No test was run.",
        "leaks": "Nothing was left open or behind.",
        "kept": "No database was kept.",
    }
    assert "pytest --pristine-schema-cov" in opened.texts("#schema p")[0]
    assert "no server" in opened.texts("#facts span")
    passed = look(document(Size()))
    assert passed.texts("#failures p") == ["No test failed."]


def test_the_time_is_split(look: Look) -> None:
    """The bar has a part for each that took time, and the legend their figures."""
    opened = look(document(FAILED))
    assert opened.find("#split .split div").count() == 8
    legend = opened.texts("#split .legend li")
    assert [words.split()[0] for words in legend] == [
        "start", "migrations", "clone", "restore", "proof", "setup", "test", "teardown",
    ]  # fmt: skip
    assert "620 ms" in legend[0]
    assert "migrations 740 ms" in (opened.find("#split .split").get_attribute("aria-label") or "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast(look: Look, scheme: str) -> None:
    """Every text has the contrast of WCAG's level AA, in the light and in the dark, in closed rows and open ones."""
    opened = look(document(FAILED), **chosen(scheme))
    opened.find("#failed .link").first.click()
    found = opened.page.evaluate(_CONTRAST)
    assert found["poor"] == []
    assert found["looked"] > 300
    background = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is (scheme == "light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_contrast_is_measured(look: Look, scheme: str) -> None:
    """A text without contrast is found, in either scheme."""
    opened = look(document(Size()), **chosen(scheme))
    opened.page.evaluate(
        "document.querySelector('h2').style.color = '#808080'; document.body.style.background = '#777'"
    )
    assert [words for words in opened.page.evaluate(_CONTRAST)["poor"] if "Checklist" in words]


@pytest.mark.parametrize("size", [EMPTY, FAILED, LARGE], ids=["empty", "failed", "large"])
def test_a_phone_has_no_sideways(look: Look, size: Size) -> None:
    """At 360 pixels the page is no wider than the screen, also with a row, a statement and a list open."""
    opened = look(document(size), **PHONE)
    assert opened.page.evaluate(_SIDEWAYS) == 0
    for each in opened.find("summary").all()[:40]:
        each.evaluate("summary => { summary.parentElement.open = true; }")
    if size.tests:
        opened.find("#viewport .name").first.click()
    assert opened.page.evaluate(_SIDEWAYS) == 0


def test_long_names_make_no_sideways(look: Look) -> None:
    """Names without any place to break them do not make a phone's page wider."""
    opened = look(hostile("x" * 600), **PHONE)
    opened.find("#viewport .name").first.click()
    assert opened.page.evaluate(_SIDEWAYS) == 0


@pytest.mark.parametrize("size", [EMPTY, FAILED], ids=["empty", "failed"])
def test_controls_have_names(look: Look, size: Size) -> None:
    """Every control has a name, every id is there once, headings leave out no level, nothing jumps the tab order."""
    opened = look(document(size))
    if size.tests:
        opened.find("#failed .link").first.click()
    assert opened.page.evaluate(_NAMELESS) == []
    levels = opened.page.evaluate(_LEVELS)
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = opened.page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert sorted(ids) == sorted(set(ids))
    assert opened.find("[tabindex]:not([tabindex='0']):not([tabindex='-1'])").count() == 0
    assert opened.page.evaluate("document.documentElement.lang") == "en"


def test_the_tab_key_reaches_everything(look: Look) -> None:
    """Tab goes through the page, skip link first, to filter, table and pictures, and one always sees where it is."""
    opened = look(document(Size()))
    opened.page.keyboard.press("Tab")
    assert opened.focused() == "Skip to the report"
    seen = []
    for _ in range(150):
        opened.page.keyboard.press("Tab")
        name, visible = opened.page.evaluate(_FOCUS)
        if name == "BODY":
            break
        assert visible, opened.focused()
        seen.append(name)
    assert seen.count("CANVAS") == 3
    assert {"filter", "which", "plain name", "link", "small"} <= set(seen)


def test_the_skip_link_skips(look: Look) -> None:
    """The skip link puts the focus behind the navigation."""
    opened = look(document(Size()))
    opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate("document.activeElement.id") == "main"


def test_motion_is_for_who_wants_it(look: Look) -> None:
    """Scrolling is smooth, unless less motion is preferred."""
    smooth = "getComputedStyle(document.documentElement).scrollBehavior"
    assert look(document(Size()), reduced_motion="no-preference").page.evaluate(smooth) == "smooth"
    assert look(document(Size()), reduced_motion="reduce").page.evaluate(smooth) == "auto"


def test_paper_gets_what_matters(look: Look) -> None:
    """In print the page is black on white, opens what was closed, and lists failed and slowest tests, no controls."""
    opened = look(document(LARGE), **chosen("dark"))
    opened.page.emulate_media(media="print", color_scheme="dark")
    opened.page.wait_for_selector("#printed tr", state="visible")
    style = "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
    assert opened.page.evaluate(style) == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    rows = opened.texts("#printed tbody tr")
    assert len(rows) == 60
    assert [row.startswith("✗ failed") for row in rows] == [True] * 25 + [False] * 35
    assert "4,940 more tests" in opened.texts("#printed p")[0]
    assert opened.find("text=test_total[9] left orders 9 rows").is_visible()
    assert opened.find("button.small:visible, input:visible, select:visible, nav:visible, #rows:visible").count() == 0
    assert opened.page.evaluate(_CONTRAST)["poor"] == []
    opened.page.emulate_media(media="screen")
    opened.find("text=test_total[9] left orders 9 rows").wait_for(state="hidden")


def test_a_pdf_can_be_made(look: Look) -> None:
    """Chromium prints the page: a report of 5,000 tests is some pages, not hundreds."""
    data = look(document(LARGE)).page.pdf(format="A4")
    assert data.startswith(b"%PDF")
    assert 3 <= data.count(b"/Type /Page\n") <= 25


def test_without_scripts_the_page_says_what_to_do(look: Look) -> None:
    """Where scripts are switched off a sentence leads to report.json."""
    opened = look(document(Size()), java_script_enabled=False)
    assert "report.json" in opened.texts("noscript p")[0]


def test_the_made_up_documents_are_large() -> None:
    """What the tests call a large run has 5,000 tests and writes 500 tables."""
    made: Document = document(LARGE)
    assert len(made.tests) == 5000
    assert len({place for test in made.tests for place, _ in test.wrote}) == len(made.tables) == 500
