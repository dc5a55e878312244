"""The process that reads a history.

Run as `python -m pytest_pristine.migrations.examination ANSWER` with a request on standard input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory

from pytest_pristine.migrations import steering, upgrade
from pytest_pristine.migrations.messages import Request


def history(request: Request) -> dict[str, Any]:
    """The heads, how many revisions there are, and for each, the oldest first, its file and those that it follows."""
    script = ScriptDirectory.from_config(steering.config(request))
    revisions = list(reversed(list(script.walk_revisions())))
    return {
        "heads": sorted(script.get_heads()),
        "revisions": len(revisions),
        "files": {each.revision: each.path for each in revisions},
        "follows": {each.revision: _several(each.down_revision) for each in revisions},
    }


def _several(revisions: str | Iterable[str] | None) -> list[str]:
    """None, one or several as a list: Alembic has all three."""
    return [] if revisions is None else [revisions] if isinstance(revisions, str) else [*revisions]


def main() -> None:
    """Answer the request on standard input in the file that the command line names."""
    request = Request(**json.load(sys.stdin))
    try:
        answer = history(request)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever the project's code raises is the answer
        answer = {"problem": upgrade.failure(error, request).message}
    Path(sys.argv[1]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
