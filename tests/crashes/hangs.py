"""What hangs, and where: written down before everything is ended."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from tests.crashes import phases

# Seconds that a process has to write where it is.
_TIME_TO_WRITE = 2


def describe(kept: Path, outside: frozenset[int]) -> None:
    """Write down all processes, with the kernel's view of each, and have those of Python write their stacks.

    Args:
        kept: Where to: `hang.txt`; the stacks are in what each run and keeper wrote.
        outside: Processes that are none of the trial.
    """
    ours = [each for each in phases.processes() if each.pid not in outside | {os.getpid()}]
    lines = []
    for each in ours:
        lines.append(f"{each.pid} (of {each.parent}): {each.line}")
        for name in ("wchan", "syscall", "stack"):
            with suppress(OSError):
                told = Path(f"/proc/{each.pid}/{name}").read_text(encoding="utf-8").strip()
                lines.append(f"    {name}: {told}")
    (kept / "hang.txt").write_text("\n".join(lines), encoding="utf-8")
    for each in ours:
        if "python" in each.name or "pytest" in each.name:
            with suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGABRT)
    time.sleep(_TIME_TO_WRITE)
