"""The process that reads a history.

Run as `python -m pytest_pristine.migrations.examination ANSWER` with a request on standard input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from alembic.script import ScriptDirectory

from pytest_pristine.migrations import steering, upgrade
from pytest_pristine.migrations.messages import Request


def history(request: Request) -> dict[str, Any]:
    """The heads, and how many revisions there are."""
    script = ScriptDirectory.from_config(steering.config(request))
    return {"heads": sorted(script.get_heads()), "revisions": sum(1 for _ in script.walk_revisions())}


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
