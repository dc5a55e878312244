"""What the pages show can be done: their files are laid out and their commands typed, as a reader would."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml

from pytest_pristine import operating_system
from tests.conftest import Home, clean_environment, new_home
from tests.documents import blocks
from tests.documents.blocks import Block, Reader

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
START = DOCS / "start.md"
# Pages that go on with the project of `start.md`.
FOLLOWED = [START, DOCS / "guide.md", *sorted((DOCS / "how-to").glob("*.md"))]
EVERY = sorted(DOCS.rglob("*.md"))


def _name(path: Path) -> str:
    return path.relative_to(DOCS).as_posix()


@pytest.fixture
def reader(tmp_path: Path, shared_home: Home) -> Reader:
    """Somebody with an empty directory and our package."""
    return _reader(tmp_path, shared_home)


def _reader(directory: Path, home: Home) -> Reader:
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = clean_environment(
        PATH=programs, PRISTINE_HOME=str(home.path), PYTHONDONTWRITEBYTECODE="1", COLUMNS="80",
        PYTEST_ADDOPTS="-p no:hypothesispytest -p no:randomly",
    )  # fmt: skip
    # Pages show what the version says that comes with us, whichever is tested.
    environ.pop("PRISTINE_POSTGRES_VERSION", None)
    return Reader(directory, environ, operating_system.free_port("127.0.0.1"))


@pytest.mark.parametrize("page", FOLLOWED, ids=_name)
def test_what_a_page_says_works(page: Path, tmp_path: Path, shared_home: Home) -> None:
    """Whoever writes the files of a page and types its commands sees what it shows."""
    # A server that a page starts by hand would be that of the pages after it.
    is_alone = "pristine up" in page.read_text(encoding="utf-8")
    with new_home() if is_alone else nullcontext(shared_home) as home:
        reader = _reader(tmp_path, home)
        if page != START:
            reader.lay_out(START)
        reader.follow(page)


def _ini(text: str) -> None:
    # A few lines are shown without the section that they belong to.
    section = "" if text.lstrip().startswith(("[", "#", ";")) else "[pytest]\n"
    configparser.ConfigParser(interpolation=None).read_string(section + text)


def _bash(text: str) -> None:
    subprocess.run([blocks.BASH, "-n"], input=text, check=True, text=True, capture_output=True)


# How a block is read by what it is meant for.
READERS: dict[str, Callable[[str], object]] = {
    "bash": _bash,
    "ini": _ini,
    "json": json.loads,
    "python": lambda text: compile(text, "example", "exec"),
    "toml": tomllib.loads,
    "yaml": yaml.safe_load,
}
# What nothing reads.
SHOWN = ("console", "text", "sql", "")


@pytest.mark.parametrize("page", EVERY, ids=_name)
def test_every_block_can_be_read(page: Path) -> None:
    """Each block is what its fence says: Python compiles, YAML, TOML, JSON and ini files parse, bash has no error."""
    for block in blocks.of(page):
        assert block.language in (*READERS, *SHOWN), f"line {block.line}: add {block.language!r} to READERS or SHOWN"
        if block.language in READERS:
            READERS[block.language](block.content)


def test_a_block_that_is_not_run_says_why() -> None:
    """Whatever a page that is followed does not run has a reason beside it."""
    for page in FOLLOWED:
        lines = page.read_text(encoding="utf-8").splitlines()
        notes = [line.strip() for line in lines if line.strip().startswith("<!-- not run")]
        assert all(note.removeprefix("<!-- not run:").removesuffix("-->").strip() for note in notes), page


def test_pages_are_run() -> None:
    """Each page that is followed has commands that are typed, but those on CI, whose machines are not here."""
    idle = [page.stem for page in FOLLOWED if not any(_is_typed(block) for block in blocks.of(page))]
    assert sorted(idle) == ["github", "gitlab"]


def _is_typed(block: Block) -> bool:
    is_command = block.is_run and block.language in ("bash", "console") and not block.title
    return is_command and not block.content.startswith("pip install")


def test_blocks_are_found(tmp_path: Path) -> None:
    """Files, commands and notes are told apart, in admonitions too."""
    page = tmp_path / "page.md"
    page.write_text(
        '```python title="a.py"\n1\n```\n\n<!-- not run: it needs a network -->\n```bash\nx\n```\n\n'
        "!!! note\n\n    <!-- exit status 2 -->\n    ```console\n    $ y\n    ```\n"
    )
    assert list(blocks.of(page)) == [
        Block("python", "a.py", "1\n", 1, is_run=True, status=0),
        Block("bash", "", "x\n", 6, is_run=False, status=0),
        Block("console", "", "$ y\n", 13, is_run=True, status=2),
    ]


def test_output_that_is_missing_is_found() -> None:
    """A line that was expected is looked for in order, and `...` stands for anything."""
    output = "one\ntwo and a half\nthree\n"
    assert blocks.missing("one\n...\ntwo ... half\n", output) == ""
    assert blocks.missing("three\none\n", output) == "one"
    assert blocks.missing("on\n", output) == "on"


def test_a_command_that_fails_is_noticed(reader: Reader, tmp_path: Path) -> None:
    """A page whose command ends with another status than it says is wrong."""
    page = tmp_path / "page.md"
    page.write_text("```bash\nfalse\n```\n")
    with pytest.raises(AssertionError, match="line 1"):
        reader.follow(page)
