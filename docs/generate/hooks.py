"""What MkDocs is told beside mkdocs.yml: pages from the rest of the repository, links to them, and related pages.

The documents are read in two places: as files in the repository, and as a site made of `docs/`. A link that leads out
of `docs/` leads to a copy of its target in the site, below `repository/`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# Where the site has what lies outside `docs/`.
OUTSIDE = "repository"
# What the navigation has of it. Whatever these pages link to is taken along.
TAKEN = ("CHANGELOG.md", "CONTRIBUTING.md")
# Pages that may be missing: they are left out of the navigation, and nothing is said of it.
AWAITED: frozenset[str] = frozenset()
# What a page can show or offer besides text.
_ASSETS = (".svg", ".json")
_LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
_DRAWING = re.compile(r"^!\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+\.svg)\)$", re.MULTILINE)
_FENCE = re.compile(r"^\s*(```|~~~)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave pages out of the navigation that are awaited and not there."""
    if config.nav is not None:
        config.nav = _present(config.nav, Path(config.docs_dir))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what documents link to outside `docs/`, and what that links to."""
    pages = {file.src_uri: Path(str(file.abs_src_path)) for file in files if file.src_uri.endswith(".md")}
    waiting = [ROOT / name for name in TAKEN]
    waiting += [target for path in pages.values() for target in _outside(path)]
    taken: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in taken:
            continue
        taken.add(path)
        content: str | bytes = path.read_bytes()
        if path.suffix == ".md":
            content = path.read_text(encoding="utf-8")
            waiting += _outside(path)
        files.append(File.generated(config, _uri(path), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: object) -> str:
    """Have links lead to where the site has their targets, and name the pages that belong with this one."""
    source = _source(page.file.src_uri)
    text = rewritten(markdown, lambda link, target: _relinked(link, target, source, page.file.src_uri))
    text = _DRAWING.sub(lambda match: _drawn(source.parent / match["target"]), text)
    related = [name for name in page.meta.get("related", ()) if _is_there(name, config)]
    if not related:
        return text
    lines = [f"* [{_title(Path(config.docs_dir) / name)}]({_between(page.file.src_uri, name)})" for name in related]
    return "\n".join([text.rstrip(), "", "## See also", "", *lines, ""])


def rewritten(markdown: str, rewrite: Callable[[str, str], str]) -> str:
    """A document with each link outside code replaced by what `rewrite` makes of its text and target."""
    lines, fenced = [], False
    for line in markdown.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        lines.append(line if fenced else _LINK.sub(lambda match: rewrite(match["text"], match["target"]), line))
    return "\n".join(lines)


def links(path: Path) -> Iterator[Path]:
    """The files of the repository that a document links to. A directory stands for its README.md."""
    found: list[str] = []

    def note(_: str, target: str) -> str:
        found.append(target)
        return ""

    rewritten(path.read_text(encoding="utf-8"), note)
    for target in found:
        if "://" not in target and not target.startswith(("#", "mailto:")):
            yield _file(path.parent / target.partition("#")[0])


def _present(nav: list[Any], docs: Path) -> list[Any]:
    """A navigation without pages that are awaited."""
    kept = []
    for entry in nav:
        if isinstance(entry, Mapping):
            ((title, content),) = entry.items()
            if isinstance(content, list):
                kept.append({title: _present(content, docs)})
                continue
        else:
            content = entry
        if content not in AWAITED or (docs / content).exists():
            kept.append(entry)
    return kept


def _is_there(name: str, config: MkDocsConfig) -> bool:
    return name not in AWAITED or (Path(config.docs_dir) / name).exists()


def _outside(path: Path) -> Iterator[Path]:
    """What a document links to outside `docs/` and the site can show."""
    return (target for target in links(path) if _is_shown(target) and not target.is_relative_to(ROOT / "docs"))


def _is_shown(path: Path) -> bool:
    return path.is_file() and path.suffix in (".md", *_ASSETS) and path.is_relative_to(ROOT)


def _file(path: Path) -> Path:
    path = path.resolve()
    return path / "README.md" if path.is_dir() else path


def _relinked(text: str, target: str, source: Path, uri: str) -> str:
    """A link as the site needs it. What the site does not have is named and not linked."""
    if "://" in target or target.startswith(("#", "mailto:")):
        return f"[{text}]({target})"
    address, mark, anchor = target.partition("#")
    path = _file(source.parent / address)
    if text.endswith(".md") and path.is_file():
        text = _title(path)  # in the repository files have names, on a site pages have titles
    if path.is_relative_to(ROOT / "docs"):
        return f"[{text}]({_between(uri, _uri(path))}{mark}{anchor})"
    return f"[{text}]({_between(uri, _uri(path))}{mark}{anchor})" if _is_shown(path) else text


def _drawn(path: Path) -> str:
    """A drawing within the page, where it has the page's colours, in the dark too."""
    return f'<div class="drawing">{path.read_text(encoding="utf-8").strip()}</div>'


def _uri(path: Path) -> str:
    """Where MkDocs has a file of the repository."""
    if path.is_relative_to(ROOT / "docs"):
        return path.relative_to(ROOT / "docs").as_posix()
    return f"{OUTSIDE}/{path.relative_to(ROOT).as_posix()}"


def _source(uri: str) -> Path:
    """The file of the repository that a page is made of."""
    inside = uri.removeprefix(OUTSIDE + "/")
    return ROOT / inside if inside != uri else ROOT / "docs" / uri


def _between(uri: str, target: str) -> str:
    """The way from one page to another."""
    return posixpath.relpath(target, posixpath.dirname(uri) or ".")


def _title(path: Path) -> str:
    """The heading of a document."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((line.removeprefix("# ") for line in lines if line.startswith("# ")), path.stem)
