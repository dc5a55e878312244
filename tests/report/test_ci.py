"""What CI services are told: the summary of a step, the properties of JUnit's XML."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pytest_pristine.report import ci
from pytest_pristine.report.document import CheckedItem, Kept
from tests.conftest import MAJOR
from tests.report.synthetic import Size, document
from tests.report.test_page import HOSTILE, hostile

pytestmark = pytest.mark.skipif(MAJOR != 18, reason="the report does not depend on the version: once is enough")

MARKDOWN = (
    "a | b | c",
    "`code` *strong* __strong__ ~~gone~~",
    "[link](http://example.org) ![image](http://example.org/x.png)",
    "http://example.org www.example.org @somebody #12 $x$",
    "<img src=x onerror=alert(1)> <!-- & -->",
    "| --- |\n# heading\n\n- list",
    "\\| \\\\",
)


def rendered(text: str) -> list[Token]:
    """The parts of Markdown, those within paragraphs included."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    return [part for token in tokens for part in (token, *(token.children or ()))]


def shown(text: str) -> str:
    """What a reader of Markdown sees."""
    return "".join(part.content for part in rendered(text) if part.type in ("text", "text_special"))


@pytest.mark.parametrize("words", MARKDOWN)
def test_text_is_shown_as_it_is(words: str) -> None:
    """Text that looks like Markdown or HTML is shown to the letter, on one line, in a table too."""
    parts = rendered(f"| head | other |\n| --- | --- |\n| {ci.text(words)} | cell |")
    assert [part.type for part in parts if part.type not in ("text", "text_special")] == [
        part.type for part in rendered("| head | other |\n| --- | --- |\n| plain | cell |") if part.type != "text"
    ]
    assert shown(f"x {ci.text(words)}") == "x " + " ".join(words.split())


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_make_no_html(words: str) -> None:
    """The summary holds no HTML but line breaks and code, whatever tests and statements are called."""
    parts = rendered(ci.step_summary(hostile(words)))
    assert {part.content for part in parts if part.type.startswith("html")} <= {"<br>", "<code>", "</code>"}


def test_the_summary_begins_with_the_outcome() -> None:
    """The first line has project, outcomes, time, workers and server."""
    first = ci.step_summary(document(Size(tests=60, failed=3, workers=2))).splitlines()[0]
    assert first.startswith("## shop: 3 failed, ")
    assert first.endswith(" · 2 workers · PostgreSQL 18.6 (embedded)")


def test_failed_items_come_first_with_what_to_do() -> None:
    """The checklist has failed items first, each with remedies and offenders; there are at most ten of these."""
    lines = ci.step_summary(document(Size(failed=2))).splitlines()
    table = lines[lines.index("|  | checklist | found |") + 2 :]
    states = [line.split(" | ")[0] for line in table[:6]]
    assert states == ["| ❌ failed", "| ❌ failed", "| ❔ unknown", "| ✅ passed", "| ✅ passed", "| ✅ passed"]
    assert "<br>to do: pytest --pristine-check=each names the test<br>" in table[0]
    assert r"test_total\[10\] left orders 10 rows<br>and 4 more |" in table[0]


def test_the_summary_has_the_rest() -> None:
    """It has five slowest tests, the split of the time, schema coverage and the kept databases."""
    made = document(Size(tests=60, failed=3))
    summary = ci.step_summary(made)
    slowest = sorted(made.tests, key=lambda test: -(test.setup + test.call + test.teardown))
    table = summary.partition("slowest tests")[2].partition("time, summed")[0]
    assert [ci.text(test.id) in table for test in slowest[:6]] == [True] * 5 + [False]
    assert "| migrations | 740 ms | " in summary
    assert made.schema
    assert f"Schema coverage: **{made.schema.percent:g} %**" in summary
    assert all(kept.database in summary for kept in made.kept)


def test_an_empty_run_has_a_summary() -> None:
    """A run without server, tests or checklist is summed up in a line."""
    made = replace(document(Size(tests=0, tables=0, schema=False)), server=None, checklist=[], workers=0)
    made = replace(made, time=replace(made.time, start=0.0, migrations=0.0, clone=0.0, proof=0.0))
    assert ci.step_summary(made) == "## shop: no tests · 1.7 s · 0 workers · no server\n"


def test_the_summary_is_bounded() -> None:
    """However many items with however long texts there are, it stays well below GitHub's limit, and says it was cut."""
    long = CheckedItem("x", "|" * 9000, "failed", "<" * 9000, ["&" * 9000] * 900, ["é" * 9000] * 900)
    made = replace(
        document(Size(tests=5000, failed=300)), checklist=[long] * 500, kept=[Kept("t", "d", "c" * 9999)] * 500
    )
    summary = ci.step_summary(made)
    assert len(summary.encode()) <= 256 * 1024
    assert summary.endswith("(The rest did not fit in here; the report has it.)\n")


def test_the_summary_is_appended(tmp_path: Path) -> None:
    """What earlier commands of the step wrote stays, and ours begins on a line of its own."""
    file = tmp_path / "summary.md"
    file.write_text("# theirs")
    assert ci.append(document(Size()), {ci.VARIABLE: str(file)}) == ""
    text = file.read_text(encoding="utf-8")
    assert text == "# theirs\n" + ci.step_summary(document(Size()))


def test_without_the_variable_nothing_is_written() -> None:
    """Where no CI service asks for a summary there is none, and nothing to say."""
    assert ci.append(document(Size()), {}) == ""
    assert ci.append(document(Size()), {ci.VARIABLE: ""}) == ""


def test_a_summary_that_cannot_be_written_fails_no_run(tmp_path: Path) -> None:
    """An error gives a sentence that names the file and the reason."""
    said = ci.append(document(Size()), {ci.VARIABLE: str(tmp_path)})
    assert said.startswith(f"the summary was not written: GITHUB_STEP_SUMMARY ({tmp_path}): ")


def test_a_full_summary_is_left_alone(tmp_path: Path) -> None:
    """A file to which ours would be too much stays as it is, since GitHub would show none of it."""
    file = tmp_path / "summary.md"
    file.write_bytes(b"x" * (1024 * 1024 - 100))
    said = ci.append(document(Size()), {ci.VARIABLE: str(file)})
    assert "longer than the 1 MiB that GitHub takes" in said
    assert file.stat().st_size == 1024 * 1024 - 100


def test_properties() -> None:
    """JUnit's properties have each item, each time in seconds, schema coverage, leaks and kept databases."""
    made = document(Size(tests=60, failed=3, workers=2))
    told = dict(ci.properties(made))
    assert told["pristine.item.postgres"] == "passed: PostgreSQL 18.6 (embedded)"
    assert told["pristine.item.sqlite"] == "failed: 1 connection to SQLite was opened"
    assert float(told["pristine.time.restore"]) == pytest.approx(made.time.restore, abs=1e-6)
    assert {name for name in told if name.startswith("pristine.time.")} == {
        f"pristine.time.{part}"
        for part in ("total", "start", "migrations", "clone", "restore", "proof", "setup", "call", "teardown")
    }
    assert made.schema
    assert float(told["pristine.schema.percent"]) == made.schema.percent
    assert told["pristine.kept"] == "pristine_kept_0, pristine_kept_1, pristine_kept_2"
    assert told["pristine.leaks"] == str(len(made.leaks))
    assert told["pristine.workers"] == "2"


def test_properties_of_what_was_not_measured_are_missing() -> None:
    """Without schema coverage or kept databases there are no such properties."""
    told = dict(ci.properties(document(Size(schema=False))))
    assert not [name for name in told if "schema" in name or "kept" in name]
