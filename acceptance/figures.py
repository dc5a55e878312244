"""The figures of the runs: kept as JSON beside the environments, and shown as the table in the documents.

python3 acceptance/figures.py    writes the table in docs/projects.md anew, from the runs of this machine
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

KEPT = Path(__file__).resolve().parent.parent / ".acceptance" / "figures"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "projects.md"
_BEGIN, _END = "<!-- {kind}: written by acceptance/figures.py -->", "<!-- end of {kind} -->"

_HEADS = {
    "histories": ("project", "revisions", "tables", "migrating, s", "warm, s", "restore, median ms", "measured"),
    "suites": (
        "project", "passed, theirs", "passed, ours", "wall s, theirs", "wall s, ours", "CPU s, theirs", "CPU s, ours",
        "migrating, s", "restore, median ms", "measured",
    ),
}  # fmt: skip


def keep(kind: str, name: str, figures: Mapping[str, object]) -> None:
    """Keep the figures of a run.

    Args:
        kind: `histories` or `suites`.
        name: The project, with its version.
        figures: A value for each column between the first and the last one, in their order.
    """
    directory = KEPT / kind
    directory.mkdir(parents=True, exist_ok=True)
    dated = {"project": name, **figures, "measured": datetime.now(UTC).date().isoformat()}
    (directory / f"{name.partition(' ')[0]}.json").write_text(json.dumps(dated, indent=2) + "\n", encoding="utf-8")


def median_restore(report: Mapping[str, Any]) -> float | str:
    """Milliseconds that the restore after a test took, of the tests that were restored; a dash if none was."""
    taken = [test["restore"] for test in report["tests"] if test["restore"]]
    return 1000 * statistics.median(taken) if taken else "-"


def table(kind: str) -> str:
    """The table of what was measured."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((KEPT / kind).glob("*.json"))]
    lines = [_HEADS[kind], ["---"] + ["---:"] * (len(_HEADS[kind]) - 1), *([*map(_cell, row.values())] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"
    return str(value)


def main() -> int:
    """Write the tables anew; those of which nothing was measured here stay."""
    page = PAGE.read_text(encoding="utf-8")
    for kind in _HEADS:
        if (KEPT / kind).is_dir():
            begin, end = _BEGIN.format(kind=kind), _END.format(kind=kind)
            before, _, rest = page.partition(begin)
            page = f"{before}{begin}\n{table(kind)}\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
