"""Makes the pages that tell what the code has: `python -m docs.generate [--check]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generate import benchmarks, commands, errors, fixtures, python, settings, statuses

DOCS = Path(__file__).resolve().parents[1]
PAGES: Mapping[str, Callable[[], str]] = {
    "reference/fixtures.md": fixtures.text,
    "reference/settings.md": settings.text,
    "reference/commands.md": commands.text,
    "reference/exit-statuses.md": statuses.text,
    "reference/errors.md": errors.text,
    "reference/python.md": python.text,
    "benchmarks.md": benchmarks.text,
}


def main() -> int:
    """Write the pages, or say which are stale; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail when a page is stale")
    chosen = parser.parse_args()
    stale = [name for name, text in PAGES.items() if _read(DOCS / name) != text()]
    for name in stale:
        if chosen.check:
            print(f"docs/{name} is not what the code says: python3 dev.py docs --write", file=sys.stderr)
        else:
            (DOCS / name).write_text(PAGES[name](), encoding="utf-8", newline="\n")
            print(f"docs/{name} written")
    return int(chosen.check and bool(stale))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
