"""The documents: their links lead somewhere, their examples can be read by what they are meant for."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from docs.generate import fixtures
from pytest_pristine import settings
from pytest_pristine.cli import parser

ROOT = Path(__file__).parents[2]
# The rest of the repository is environments, caches and what was built.
FOLDERS = ("acceptance", "backend", "bench", "docs", "examples", "tests")


def _documents() -> list[str]:
    paths = [*ROOT.glob("*.md"), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
    names = sorted(path.relative_to(ROOT).as_posix() for path in paths)
    return [name for name in names if not any(part.startswith(".") for part in Path(name).parts)]


def _tokens(path: Path) -> Iterator[Token]:
    """The parts of a document, those within paragraphs included."""
    for token in MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8")):
        yield token
        yield from token.children or ()


def _links(path: Path) -> Iterator[str]:
    for token in _tokens(path):
        target = token.attrs.get("href") or token.attrs.get("src")
        if isinstance(target, str):
            yield unquote(target)


def _anchors(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    headings = (after.content for token, after in pairwise(_tokens(path)) if token.type == "heading_open")
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _leads_somewhere(link: str, document: Path) -> bool:
    """Whether a link within the repository has a target. Others are not looked at: tests need no network."""
    parts = urlsplit(link)
    if parts.scheme:
        return True
    target = (document.parent / parts.path) if parts.path else document
    return target.exists() and (not parts.fragment or parts.fragment in _anchors(target))


def _broken(document: Path) -> list[str]:
    return [link for link in _links(document) if not _leads_somewhere(link, document)]


@pytest.mark.parametrize("name", _documents())
def test_links_lead_somewhere(name: str) -> None:
    """Every link within the repository names a file, and an anchor of it, that is there."""
    assert _broken(ROOT / name) == []


@pytest.mark.parametrize("name", _documents())
def test_examples_are_python(name: str) -> None:
    """Every example that says it is Python compiles."""
    for token in _tokens(ROOT / name):
        if token.type == "fence" and token.info.split()[:1] == ["python"]:
            compile(token.content, f"{name}, line {token.map[0] + 1 if token.map else '?'}", "exec")


def test_broken_links_are_found(tmp_path: Path) -> None:
    """The check itself tells links that lead nowhere from those that lead somewhere."""
    document = tmp_path / "README.md"
    document.write_text("# A heading\n[a](#a-heading) [b](README.md) [c](#no) [d](no.md) [e](https://example.org)\n")
    assert _broken(document) == ["#no", "no.md"]


def test_the_readme_has_every_setting() -> None:
    """The README's table has each setting with its option, its variable and its ini key."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [f"| `{each.option}` | `{each.environ}` | `{each.ini}` |" for each in settings.ALL]
    assert [row for row in rows if row not in text] == []


def test_the_readme_has_every_fixture_and_command() -> None:
    """The README's tables have a row for each fixture and each command."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (commands,) = (each for each in parser.build()._actions if isinstance(each, argparse._SubParsersAction))
    names = [name for name, _ in fixtures.fixtures()] + [f"pristine {name}" for name in commands.choices]
    rows = [f"| `{name}` |" for name in names]
    assert [row for row in rows if f"\n{row}" not in text] == []


def test_every_command_is_documented() -> None:
    """The documents of the command line have each command and each of its options."""
    text = (ROOT / "docs/commands.md").read_text(encoding="utf-8") + (ROOT / "docs/doctor.md").read_text(
        encoding="utf-8"
    )
    (commands,) = (each for each in parser.build()._actions if isinstance(each, argparse._SubParsersAction))
    wanted = [f"`pristine {name}`" for name in commands.choices]
    wanted += [
        option
        for command in commands.choices.values()
        for action in command._actions
        for option in action.option_strings
        if option.startswith("--") and option != "--help"
    ]
    assert [word for word in wanted if word not in text] == []
