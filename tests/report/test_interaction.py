"""What one does with the page, by mouse, touch and keyboard, in a real Chromium."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from pytest_pristine.report.document import Document, Test
from tests.conftest import MAJOR
from tests.report.conftest import Opened
from tests.report.synthetic import Size, document

pytestmark = pytest.mark.skipif(MAJOR != 18, reason="the report does not depend on the version: once is enough")

Look = Callable[..., Opened]

FAILED = Size(tests=120, tables=30, failed=7, workers=2)
LARGE = Size(tests=5000, tables=500, failed=25, workers=8)


def total(test: Test) -> float:
    """Seconds of a test, as the page counts them."""
    return test.setup + test.call + test.teardown


def names(opened: Opened, most: int = 8) -> list[str]:
    """The node ids of the first rows of the table of tests."""
    rows = sorted(opened.find("#viewport .row").all(), key=lambda row: int(row.get_attribute("aria-rowindex") or 0))
    return [str(row.locator(".name").get_attribute("title")) for row in rows[:most]]


def slowest(made: Document, most: int = 8) -> list[str]:
    """The node ids of the slowest tests."""
    return [test.id for test in sorted(made.tests, key=lambda test: -total(test))[:most]]


# The table of tests


def test_the_slowest_stand_first(look: Look) -> None:
    """The table begins with the slowest tests; another click on the column turns it round."""
    made = document(FAILED)
    opened = look(made)
    assert names(opened) == slowest(made)
    assert opened.find("[data-key=total]").first.get_attribute("aria-sort") == "descending"
    opened.find("[data-key=total] button").first.click()
    assert names(opened, 1) == [min(made.tests, key=total).id]
    assert opened.find("[data-key=total]").first.get_attribute("aria-sort") == "ascending"


def test_each_column_sorts(look: Look) -> None:
    """Every column sorts the tests by what it shows, numbers from the largest and words from the first."""
    made = document(FAILED)
    opened = look(made)
    opened.find("#rows [data-key=name] button").click()
    assert names(opened) == sorted(test.id for test in made.tests)[:8]
    opened.find("#rows [data-key=statements] button").click()
    most = sorted((test.statements for test in made.tests), reverse=True)[:8]
    assert [next(test.statements for test in made.tests if test.id == name) for name in names(opened)] == most
    opened.find("#rows [data-key=outcome] button").click()
    assert set(names(opened, 7)) <= {test.id for test in made.tests if test.outcome == "failed"}


def test_text_filters(look: Look) -> None:
    """The box filters by part of a name or of a message, in any case; what is found is counted."""
    made = document(FAILED)
    opened = look(made)
    opened.find("#filter").fill("BILLING")
    wanted = [test for test in made.tests if "billing" in test.id]
    assert opened.texts("#found") == [f"{len(wanted)} of 120 tests"]
    assert all("billing" in name for name in names(opened))
    opened.find("#filter").fill("assertionerror")
    assert opened.texts("#found") == [f"{sum(test.outcome == 'failed' for test in made.tests)} of 120 tests"]
    opened.find("#filter").fill("no such test")
    assert opened.texts("#found") == ["No test is like that."]
    assert names(opened) == []


def test_outcomes_filter(look: Look) -> None:
    """Tests can be filtered by outcome, by what they left, and by statements that they repeat."""
    made = document(FAILED)
    opened = look(made)
    for value, wanted in (
        ("failed", [test for test in made.tests if test.outcome == "failed"]),
        ("left", [test for test in made.tests if test.left or test.remade]),
        ("repeated", [test for test in made.tests if test.repeated]),
    ):
        opened.find("#which").select_option(value)
        assert opened.texts("#found") == [f"{len(wanted)} of 120 tests"]


def test_slash_goes_to_the_filter(look: Look) -> None:
    """The key / puts the focus into the filter of the tests, and is a letter once one writes."""
    opened = look(document(FAILED))
    opened.page.keyboard.press("/")
    assert opened.page.evaluate("document.activeElement.id") == "filter"
    opened.page.keyboard.type("mail/test")
    assert opened.find("#filter").input_value() == "mail/test"


def test_a_row_tells_what_is_known(look: Look) -> None:
    """A row opens and tells what the test wrote, left and repeated, its message, and where its time went."""
    made = document(FAILED)
    first = replace(
        made.tests[0], wrote=[(0, 3), (1, 1), (2, None)], left=["a lock"], remade="it made a table",
        repeated=[replace(made.tests[5].repeated[0], shape=1, count=77)], message="AssertionError: no",
    )  # fmt: skip
    opened = look(replace(made, tests=[first, *made.tests[1:]]))
    opened.find("#filter").fill(first.id)
    opened.find("#viewport .name").click()
    assert opened.find("#viewport .name").get_attribute("aria-expanded") == "true"
    (detail,) = opened.texts("#viewport .detail")
    for words in (
        "users 3 rows, accounts 1 row, audit_log all rows", "left behind a lock", "made anew it made a table",
        "77 times", " ".join(made.shapes[1].sql.split()), "AssertionError: no", "on gw0",
    ):  # fmt: skip
        assert words in detail
    opened.page.keyboard.press("Escape")
    assert opened.find("#viewport .detail").count() == 0


def test_few_rows_are_in_the_page(look: Look) -> None:
    """Of 5,000 tests the page holds the rows that are in view and a few more, wherever one scrolls."""
    made = document(LARGE)
    opened = look(made)
    assert opened.find("#viewport .row").count() < 60
    opened.find("#viewport").evaluate("viewport => { viewport.scrollTop = viewport.scrollHeight; }")
    last = opened.find("#viewport .row[aria-rowindex='5001']")
    last.wait_for()
    title = last.locator(".name").get_attribute("title")
    assert [total(test) for test in made.tests if test.id == title] == [min(map(total, made.tests))]
    assert opened.find("#viewport .row").count() < 60
    assert opened.find("#rows").get_attribute("aria-rowcount") == "5001"


def test_open_rows_push_others_down(look: Look) -> None:
    """Rows below an open one lie below all that is open of it, and close up again."""
    opened = look(document(FAILED))
    gap = """() => {
      const row = (number) => document.querySelector(`#viewport [aria-rowindex='${number}']`);
      const [one, other] = [row(2), row(3)].map((each) => each.getBoundingClientRect());
      return [one.height, other.top - one.bottom];
    }"""
    closed, apart = opened.page.evaluate(gap)
    assert abs(apart) < 2
    opened.find("#viewport .name").first.click()
    high, apart = opened.page.evaluate(gap)
    assert high > closed + 60
    assert abs(apart) < 2
    opened.find("#viewport .name").first.click()
    assert opened.page.evaluate(gap)[0] == closed


def test_arrows_walk_the_rows(look: Look) -> None:
    """Arrow keys, Page Down and End go from row to row, beyond what is in view too; one Tab leaves the table."""
    made = document(LARGE)
    opened = look(made)
    order = slowest(made, 5000)
    opened.find("#viewport .name").first.focus()
    walked = [("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), *(("PageDown", 1 + 10 * n) for n in range(1, 9))]
    for key, row in walked:
        opened.page.keyboard.press(key)
        assert opened.page.evaluate("document.activeElement.title") == order[row]
    opened.page.keyboard.press("End")
    assert opened.find(":focus").evaluate("name => name.closest('.row').ariaRowIndex") == "5001"
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.closest('#tests')") is None


def test_the_focus_survives_scrolling(look: Look) -> None:
    """A row that has the focus keeps it when it is scrolled out of view."""
    opened = look(document(LARGE))
    opened.find("#viewport .name").first.focus()
    title = opened.page.evaluate("document.activeElement.title")
    opened.find("#viewport").evaluate("viewport => { viewport.scrollTop = 90000; }")
    opened.wait("[...document.querySelectorAll('#viewport .row')].some((row) => row.ariaRowIndex > 2500)")
    assert opened.page.evaluate("document.activeElement.title") == title


# Pictures


def cell(words: str) -> tuple[str, str, str]:
    """Test, `wrote` or `did not write`, and table, of what the map says."""
    found = re.fullmatch(r". test (\S+) (wrote|did not write) (\S+)(?: (?:\d+|all) rows?)?", words)
    assert found, words
    return found[1], found[2], found[3]


def test_arrows_walk_the_map(look: Look) -> None:
    """The cursor of the map moves by arrow keys, and what it is on is told in a live region, truly."""
    made = document(FAILED)
    opened = look(made)
    assert opened.find("#map .readout").get_attribute("aria-live") == "polite"
    opened.find("#map canvas").focus()
    wrote = {test.id: {made.tables[place]: rows for place, rows in test.wrote} for test in made.tests}
    seen = set()
    for key in ["ArrowRight", "ArrowDown"] * 10 + [
        "ArrowLeft",
        "ArrowUp",
        "Home",
        "End",
        "PageDown",
        "PageDown",
        "PageUp",
    ]:
        opened.page.keyboard.press(key)
        (words,) = opened.texts("#map .readout")
        test, did, table = cell(words)
        assert (did == "wrote") == (table in wrote[test])
        if did == "wrote":
            rows = wrote[test][table]
            assert words.endswith(f"{table} all rows" if rows is None else f"{table} {rows} row{'s' * (rows != 1)}")
        seen.add((test, table))
    assert len(seen) > 20


def test_shift_goes_to_what_was_written(look: Look) -> None:
    """With Shift an arrow goes to the next cell that was written, or stays where there is none."""
    opened = look(document(FAILED))
    opened.find("#map canvas").focus()
    for _ in range(6):
        opened.page.keyboard.press("Shift+ArrowDown")
        assert cell(opened.texts("#map .readout")[0])[1] == "wrote"
    for _ in range(40):
        opened.page.keyboard.press("Shift+ArrowDown")
    assert cell(opened.texts("#map .readout")[0])[1] == "wrote"


def test_enter_on_the_map_filters_the_tests(look: Look) -> None:
    """Enter on a cell filters the tests by its table, opens the test, and the filter can be taken away."""
    made = document(FAILED)
    opened = look(made)
    opened.find("#map canvas").focus()
    opened.page.keyboard.press("Shift+ArrowDown")
    test, _, table = cell(opened.texts("#map .readout")[0])
    opened.page.keyboard.press("Enter")
    place = made.tables.index(table)
    writers = sum(any(each == place for each, _ in test.wrote) for test in made.tests)
    assert opened.texts("#found") == [f"{writers} of 120 tests"]
    assert opened.texts("#only") == [f"wrote {table} ✕"]
    assert opened.page.evaluate("document.activeElement.title") == test
    assert test in opened.texts("#viewport .detail")[0]
    opened.find("#only").click()
    assert opened.texts("#found") == ["120 tests"]


def test_a_click_on_the_map_filters_the_tests(look: Look) -> None:
    """A click on a cell does what Enter does, for the cell below the pointer."""
    opened = look(document(FAILED))
    opened.find("#map canvas").scroll_into_view_if_needed()
    box = opened.find("#map canvas").bounding_box()
    assert box
    opened.page.mouse.move(box["x"] + 240, box["y"] + 100)
    _, _, table = cell(opened.texts("#map .readout")[0])
    opened.page.mouse.down()
    opened.page.mouse.up()
    assert opened.texts("#only") == [f"wrote {table} ✕"]


def test_the_map_zooms(look: Look) -> None:
    """Buttons, keys and the wheel with Ctrl zoom the map; dragging moves it; `all` shows it whole again."""
    opened = look(document(LARGE))
    scale = "[mapState.view.sx, mapState.view.sy, mapState.view.x, mapState.view.y]"
    whole = opened.page.evaluate(scale)
    opened.find("[aria-label='Zoom in']").click()
    assert opened.page.evaluate(scale)[0] > whole[0]
    opened.find("#map canvas").focus()
    opened.page.keyboard.press("+")
    box = opened.find("#map canvas").bounding_box()
    assert box
    opened.page.mouse.move(box["x"] + 600, box["y"] + 300)
    opened.page.keyboard.down("Control")
    opened.page.mouse.wheel(0, -300)
    opened.page.keyboard.up("Control")
    opened.wait(f"{scale}[1] > {whole[1] * 4}")
    before = opened.page.evaluate(scale)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 500, box["y"] + 200, steps=4)
    opened.page.mouse.up()
    assert opened.find("#only").is_hidden()
    after = opened.page.evaluate(scale)
    assert after[2] > before[2]
    assert after[3] > before[3]
    opened.find("[aria-label='Show the whole map']").click()
    assert opened.page.evaluate(scale) == whole


def test_a_wheel_without_a_key_scrolls_the_page(look: Look) -> None:
    """The map does not catch who scrolls past it."""
    opened = look(document(LARGE), reduced_motion="reduce")
    opened.find("#map").evaluate("map => map.scrollIntoView()")
    box = opened.find("#map canvas").bounding_box()
    assert box
    before = opened.page.evaluate("scrollY")
    opened.page.mouse.move(box["x"] + 600, box["y"] + 300)
    opened.page.mouse.wheel(0, 200)
    opened.wait(f"scrollY > {before + 100}")


def test_the_map_is_drawn(look: Look) -> None:
    """The map of 5,000 tests and 500 tables has colours of written cells, and red of failed tests."""
    opened = look(document(LARGE))
    opened.find("#map canvas").scroll_into_view_if_needed()
    colours = opened.page.evaluate(
        """() => {
          const canvas = document.querySelector("#map canvas");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          const seen = {};
          new Uint32Array(data.buffer).forEach((each) => { seen[each] = (seen[each] || 0) + 1; });
          return Object.fromEntries(SHADES.map((name) => [name, seen[pixel(name)] || 0]));
        }"""
    )
    assert all(number > 20 for number in colours.values()), colours


def test_touch_tells_first(look: Look) -> None:
    """On a phone the first touch of a cell tells what it is, the second goes to its tests."""
    opened = look(document(FAILED), viewport={"width": 360, "height": 740}, has_touch=True)
    opened.find("#map canvas").tap(position={"x": 90, "y": 100})
    _, _, table = cell(opened.texts("#map .readout")[0])
    assert opened.find("#only").is_hidden()
    opened.find("#map canvas").tap(position={"x": 90, "y": 100})
    assert opened.texts("#only") == [f"wrote {table} ✕"]


def test_tables_are_listed_with_their_writers(look: Look) -> None:
    """Who cannot use the map has a list: each table with its tests, those that wrote most first."""
    made = document(FAILED)
    opened = look(made)
    counted = Counter(made.tables[place] for test in made.tests for place, _ in test.wrote)
    ((first, number),) = counted.most_common(1)
    assert opened.texts("#writers summary")[0].startswith(f"{first} {number} tests")
    opened.find("#writers summary").first.click()
    opened.find("#writers details[open] li").first.wait_for()
    assert opened.find("#writers details[open] li").count() == min(20, number)
    opened.find("#writers input").fill("mail_lines")
    assert [words.split()[0] for words in opened.texts("#writers summary")] == ["mail_lines"]


def test_arrows_walk_the_timeline(look: Look) -> None:
    """The timeline goes from test to test and from worker to worker by arrow keys; Enter shows the test."""
    made = document(FAILED)
    opened = look(made)
    first = {worker: [test.id for test in made.tests if test.worker == worker] for worker in ("gw0", "gw1")}
    opened.find("#timeline canvas").focus()
    assert opened.texts("#timeline .readout")[0].endswith(f"on gw0: {first['gw0'][0]}")
    opened.page.keyboard.press("ArrowRight")
    assert opened.texts("#timeline .readout")[0].endswith(f"on gw0: {first['gw0'][1]}")
    opened.page.keyboard.press("ArrowDown")
    assert " on gw1: " in opened.texts("#timeline .readout")[0]
    opened.page.keyboard.press("Home")
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate("document.activeElement.title") == first["gw1"][0]


# The other sections


def test_failed_tests_lead_to_their_rows(look: Look) -> None:
    """A failed test's name opens its row, whatever was filtered before."""
    made = document(FAILED)
    opened = look(made)
    opened.find("#filter").fill("nothing is called this")
    opened.find("#failed .link").first.click()
    first = next(test.id for test in made.tests if test.outcome == "failed")
    assert opened.page.evaluate("document.activeElement.title") == first
    assert opened.find("#filter").input_value() == ""


def test_statements_are_sorted(look: Look) -> None:
    """Statements stand by total time; other columns sort them too; a statement opens to its full text."""
    made = document(FAILED)
    opened = look(made)

    def shown() -> str:
        return opened.texts("#shapes tbody summary")[0]

    assert shown() == " ".join(max(made.shapes, key=lambda shape: shape.seconds).sql.split())
    opened.find("#shapes [data-key=slowest] button").click()
    assert shown() == " ".join(max(made.shapes, key=lambda shape: shape.slowest).sql.split())
    opened.find("#shapes tbody summary").first.click()
    assert opened.find("#shapes tbody pre").first.is_visible()


def test_repeated_statements_are_listed(look: Look) -> None:
    """The N+1 section has test, count and statement, most often first."""
    made = document(FAILED)
    opened = look(made)
    found = sorted(((each.count, test.id) for test in made.tests for each in test.repeated), reverse=True)
    rows = opened.texts("#repeated tbody tr")
    assert [row.split()[:2] for row in rows] == [[name, str(count)] for count, name in found[:10]]


def test_what_was_never_touched_can_be_filtered(look: Look) -> None:
    """The list of what was never touched is filtered by text and kind; a field of the picture narrows it to a table."""
    made = document(FAILED)
    assert made.schema
    missed = [each for each in made.schema.objects if not each.covered]
    opened = look(made)
    assert opened.texts("#untouched .said") == [f"{len(missed)} objects"]
    opened.find("#untouched select").select_option("check")
    checks = sum(each.kind == "check" for each in missed)
    assert opened.texts("#untouched .said") == [f"{checks} of {len(missed)} objects"]
    opened.find("#treemap canvas").focus()
    (words,) = opened.texts("#treemap .readout")
    opened.page.keyboard.press("Enter")
    table = words.partition(":")[0]
    assert opened.find("#untouched input").input_value() == table
    of_table = sum(each.table == table for each in missed)
    assert opened.texts("#untouched .said") == [f"{of_table} of {len(missed)} objects"]


def test_more_is_shown_on_demand(look: Look) -> None:
    """A long list shows its beginning; the button below shows more, and puts the focus there."""
    made = document(LARGE)
    opened = look(made)
    failed = sum(test.outcome == "failed" for test in made.tests)
    assert opened.find("#failed li").count() == 10
    opened.find("#failed button.more").click()
    assert opened.find("#failed li").count() == failed
    assert opened.find("#failed button.more").is_hidden()
    assert opened.page.evaluate("document.activeElement.closest('#failed li') !== null")


@pytest.mark.parametrize("allowed", [True, False])
def test_the_command_of_a_kept_database_is_copied(look: Look, *, allowed: bool) -> None:
    """The button copies the command, from a page on the disk too, and where the browser lends no clipboard."""
    made = document(FAILED)
    opened = look(made, permissions=["clipboard-read", "clipboard-write"])
    if not allowed:
        opened.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')); }")
    opened.find("#kept .small").first.click()
    opened.find("#kept .small:has-text('Copied')").wait_for()
    assert opened.page.evaluate("navigator.clipboard.readText()") == made.kept[0].command
