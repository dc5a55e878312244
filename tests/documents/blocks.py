"""The blocks of code of a document, and what a reader does with them: lay out files, type commands."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from markdown_it import MarkdownIt
from packaging.requirements import Requirement

# Seconds that a command of a page may take.
PATIENCE = 120
_TITLE = re.compile(r'title="([^"]+)"')
_NOTE = re.compile(r"<!-- (not run|exit status)(?::| )\s*(.*?) -->\s*$")
# The port of the guide, which others may use on this machine.
PORT = "55432"
# What types the commands.
BASH = shutil.which("bash") or "bash"


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        language: What its fence says that it is.
        title: The file that it is the content of; empty when it is of none.
        content: The text.
        line: Where it begins in the document, from 1.
        is_run: It is not marked `<!-- not run: ... -->`.
        status: The exit status that its command ends with: `<!-- exit status 1 -->`.
    """

    language: str
    title: str
    content: str
    line: int
    is_run: bool
    status: int


def of(path: Path) -> Iterator[Block]:
    """The blocks of a document, those in admonitions, lists and tabs included."""
    text = path.read_text(encoding="utf-8")
    note: re.Match[str] | None = None
    for token in MarkdownIt("commonmark", {"html": True}).parse(_unindented(text)):
        if token.type == "html_block":
            note = _NOTE.search(token.content.rstrip())
            continue
        if token.type == "fence":
            title = _TITLE.search(token.info)
            yield Block(
                language=(token.info.split() or [""])[0],
                title=title[1] if title else "",
                content=token.content,
                line=token.map[0] + 1 if token.map else 0,
                is_run=note is None or note[1] != "not run",
                status=int(note[2]) if note and note[1] == "exit status" else 0,
            )
        note = None


def _unindented(text: str) -> str:
    """A document without the indentation of admonitions and tabs, in which CommonMark sees code."""
    lines, is_within = [], False
    for line in text.splitlines():
        if re.match(r"(!!!|\?\?\?\+?|===) ", line):
            is_within = True
            lines.append("")
            continue
        if is_within and line and not line.startswith("    "):
            is_within = False
        lines.append(line.removeprefix("    ") if is_within else line)
    return "\n".join(lines)


@dataclass(frozen=True)
class Reader:
    """Somebody who does in a directory what a page says.

    Attributes:
        directory: The project.
        environ: The environment of commands.
        port: A free port, which stands for that of the guide.
    """

    directory: Path
    environ: Mapping[str, str]
    port: int

    def lay_out(self, path: Path) -> None:
        """Write the files of a page, and type nothing."""
        for block in of(path):
            if block.title:
                self._write(block)

    def follow(self, path: Path) -> None:
        """Write the files and type the commands of a page, in order."""
        for block in of(path):
            if block.title:
                self._write(block)
            elif block.is_run and block.language == "bash":
                self._type("\n".join(_without_installing(block.content)), "", block)
            elif block.is_run and block.language == "console":
                for command, expected in _typed(block.content):
                    self._type("\n".join(_without_installing(command)), expected, block)

    def _write(self, block: Block) -> None:
        path = self.directory / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.content.replace(PORT, str(self.port)), encoding="utf-8")

    def _type(self, script: str, expected: str, block: Block) -> None:
        done = subprocess.run(
            [BASH, "-euc", script.replace(PORT, str(self.port))],
            cwd=self.directory, env=self.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, timeout=PATIENCE,
        )  # fmt: skip
        said = f"line {block.line}: {script}\n{done.stdout}"
        assert done.returncode == block.status, said
        assert missing(expected.replace(PORT, str(self.port)), done.stdout) == "", said


def missing(expected: str, output: str) -> str:
    """The first line that was expected and is not in the output, in its order; `...` stands for anything."""
    lines = iter([line.strip() for line in output.splitlines()])
    for line in filter(None, map(str.strip, expected.splitlines())):
        pattern = re.compile(".*".join(map(re.escape, re.split(r"\.\.\.|…", line))))
        if line not in ("...", "…") and not any(pattern.fullmatch(each) for each in lines):
            return line
    return ""


def _typed(content: str) -> Iterator[tuple[str, str]]:
    """Each command of a session at a terminal, with the output that is shown."""
    for part in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
        command = re.match(r"(?:.*\\\n)*.*\n?", part)
        assert command is not None
        yield command[0], part[command.end() :]


def _without_installing(script: str) -> Iterator[str]:
    """A script without `pip install`: what it would install is here already, in a version that will do."""
    for line in script.splitlines():
        if line.split()[:2] == ["pip", "install"]:
            for word in shlex.split(line, comments=True)[2:]:
                requirement = Requirement(word)
                assert requirement.specifier.contains(metadata.version(requirement.name), prereleases=True), line
        else:
            yield line
