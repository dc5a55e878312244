"""The run in short, for the pages of CI services: a summary in Markdown, and properties for JUnit's XML."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from pytest_pristine.report.document import CheckedItem, Document, Test

# The file that GitHub shows on the page of a run.
VARIABLE = "GITHUB_STEP_SUMMARY"
# What GitHub takes from a step, and what we take of it at most, in bytes: other commands of the step write there too.
_THEIR_LIMIT = 1024 * 1024
_LIMIT = 256 * 1024
# Characters of one text of the user's, and how many of a kind are shown.
_TEXT = 300
_SLOWEST = 5
_OFFENDERS = 10
_KEPT = 20
_CUT = "\n\n(The rest did not fit in here; the report has it.)\n"

_BAD = ("failed", "error")
_OUTCOMES = (*_BAD, "passed", "skipped", "xfailed", "xpassed")
_SIGNS = {"failed": "❌", "unknown": "❔", "passed": "✅"}
_PARTS = ("start", "migrations", "clone", "restore", "proof", "setup", "call", "teardown")
# What Markdown, GitHub's extensions of it or HTML would take for more than text, and what stands for it.
_SPECIAL = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|[\\`*~\[\]#|]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;", "$": "&#36;"}


def step_summary(document: Document) -> str:
    """A summary as GitHub-flavoured Markdown, of no more than 256 KiB."""
    parts = [
        _outcome(document),
        _checklist(document.checklist),
        _slowest(document.tests),
        _time(document),
        _schema(document),
        _kept(document),
    ]
    return _cut("\n\n".join(part for part in parts if part) + "\n")


def append(document: Document, environ: Mapping[str, str]) -> str:
    """Append the summary to the file that GitHub named, if it did; gives why it was not written, else nothing."""
    name = environ.get(VARIABLE, "")
    if not name:
        return ""
    data = step_summary(document).encode("utf-8", "replace")
    try:
        with Path(name).open("ab") as file:
            if file.tell() + len(data) > _THEIR_LIMIT:
                # GitHub would show nothing of a longer one, not even what others wrote.
                return (
                    f"the summary was not written: {VARIABLE} ({name}) would be longer than the 1 MiB that GitHub takes"
                )
            # Whatever others wrote may end within a line.
            file.write(b"\n" + data if file.tell() else data)
    except OSError as error:
        return f"the summary was not written: {VARIABLE} ({name}): {error.strerror or error}"
    return ""


def properties(document: Document) -> list[tuple[str, str]]:
    """Names and values for the properties of JUnit's test suite; times are in seconds."""
    made = [("pristine.workers", str(document.workers)), ("pristine.leaks", str(len(document.leaks)))]
    if document.server is not None:
        made.append(("pristine.server", document.server.described))
    made += [(f"pristine.item.{item.key}", f"{item.state}: {item.found}") for item in document.checklist]
    made += [(f"pristine.time.{part}", f"{seconds:.6f}") for part, seconds in asdict(document.time).items()]
    if document.schema is not None:
        made.append(("pristine.schema.percent", f"{document.schema.percent:g}"))
        if document.schema.required is not None:
            made.append(("pristine.schema.required", f"{document.schema.required:g}"))
    if document.kept:
        made.append(("pristine.kept", ", ".join(kept.database for kept in document.kept)))
    return made


# The parts of the summary


def _outcome(document: Document) -> str:
    told = [f"{number} {outcome}" for outcome in _OUTCOMES if (number := _number(document.tests, outcome))]
    server = "no server" if document.server is None else document.server.described
    facts = [", ".join(told) or "no tests", seconds(document.time.total), _plural(document.workers, "worker"), server]
    return f"## {text(document.project)}: {text(' · '.join(facts))}"


def _checklist(items: list[CheckedItem]) -> str:
    if not items:
        return ""
    order = list(_SIGNS)
    rows = sorted(items, key=lambda item: order.index(item.state) if item.state in order else len(order))
    return _table(("", "checklist", "found"), [(_state(item), text(item.title), _found(item)) for item in rows])


def _state(item: CheckedItem) -> str:
    return f"{_SIGNS.get(item.state, '❔')} {text(item.state)}"


def _found(item: CheckedItem) -> str:
    """What was found; of an item that did not pass also what to do, and who it was."""
    lines = [text(item.found)]
    if item.state != "passed":
        lines += [f"to do: {text(line)}" for line in item.remedy[:_OFFENDERS]]
        lines += [text(each) for each in item.offenders[:_OFFENDERS]]
        lines += _beyond(len(item.offenders), _OFFENDERS)
    return "<br>".join(lines)


def _slowest(tests: list[Test]) -> str:
    if not tests:
        return ""
    rows = sorted(tests, key=_total, reverse=True)[:_SLOWEST]
    return _table(
        ("slowest tests", "total", "body", "restore", "statements"),
        [(text(test.id), seconds(_total(test)), seconds(test.call), seconds(test.restore), str(test.statements))
         for test in rows],
    )  # fmt: skip


def _time(document: Document) -> str:
    """The split; parts that took no time are left out."""
    spent = {part: value for part in _PARTS if (value := getattr(document.time, part))}
    if not spent:
        return ""
    whole = sum(spent.values())
    rows = [(part, seconds(value), f"{100 * value / whole:.1f} %") for part, value in spent.items()]
    return _table(("time, summed over processes", "", ""), rows)


def _schema(document: Document) -> str:
    schema = document.schema
    if schema is None:
        return ""
    touched = sum(each.covered for each in schema.objects)
    asked = "" if schema.required is None else f"; {schema.required:g} % were asked for"
    return f"Schema coverage: **{schema.percent:g} %** ({touched} of {_plural(len(schema.objects), 'object')}){asked}"


def _kept(document: Document) -> str:
    if not document.kept:
        return ""
    lines = [f"- {text(kept.test)}: <code>{text(kept.command)}</code>" for kept in document.kept[:_KEPT]]
    lines += [f"- {words}" for words in _beyond(len(document.kept), _KEPT)]
    return "\n".join(["Kept databases:", "", *lines])


# Words


def text(words: str) -> str:
    """Words of whatever origin as one line of Markdown that shows them, and does nothing else."""
    line = " ".join(words.split())
    if len(line) > _TEXT:
        line = line[:_TEXT] + "…"
    line = "".join(_ENTITIES.get(each, each) for each in line if each.isprintable())
    # Once the entities are in, for their `#`, which must stay: it is found with the `&` before it.
    line = re.sub(r"&#\d+;|" + _SPECIAL.pattern, _escaped, line)
    # GitHub would make links of these.
    return line.replace("://", "&#58;//").replace("www.", "www&#46;")


def _escaped(found: re.Match[str]) -> str:
    return found[0] if found[0].startswith("&") else f"\\{found[0]}"


def seconds(value: float) -> str:
    """A time for people."""
    if value < 1:
        return f"{1000 * value:.3g} ms"
    if value < 60:  # noqa: PLR2004 - a minute
        return f"{value:.3g} s"
    minutes, left = divmod(round(value), 60)
    return f"{minutes} min {left:02} s"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _beyond(number: int, most: int) -> list[str]:
    """How many there are beyond those that are shown; empty when all are."""
    return [f"and {number - most} more"] if number > most else []


def _cut(summary: str) -> str:
    """The summary without the lines at its end that are too many."""
    data = summary.encode("utf-8", "replace")
    if len(data) <= _LIMIT:
        return summary
    whole = data[: _LIMIT - len(_CUT)].rpartition(b"\n")[0]
    return whole.decode() + _CUT


def _number(tests: list[Test], outcome: str) -> int:
    return sum(test.outcome == outcome for test in tests)


def _total(test: Test) -> float:
    return test.setup + test.call + test.teardown


def _plural(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
