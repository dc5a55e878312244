"""A machine for one trial: its own processes, shared memory and temporary files, all gone when it ends.

Linux's namespaces give it, to root. Whatever the trial left is then there to be seen, and nothing of anybody else's;
and when the process that holds the machine is killed, everything in it is.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from tests.crashes.trial import BROKEN, HUNG, RESULT, Result
from tests.crashes.trials import Trial

ROOT = Path(__file__).parent.parent.parent
# Seconds after which a trial is given up that its own limits have not ended.
_LIMIT = 480
# It dies with us, however we die, and all that is on the machine with it.
_UNSHARE = [
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--ipc", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
]  # fmt: skip
# The first process of a machine is to reap orphans; one that runs nothing but the trial does not.
_MOUNT = "mount -t tmpfs -o mode=1777 tmpfs /dev/shm && mount -t tmpfs -o mode=1777 tmpfs {temporary} && "
# The processes that hold machines now.
_HOLDERS: set[subprocess.Popen[bytes]] = set()
_REAPING, _KEEPING = _MOUNT + '"$@"; exit $?', _MOUNT + 'exec "$@"'


@functools.cache
def reason_against() -> str | None:
    """Why there can be no such machine here; None when there can be."""
    if sys.platform != "linux" or os.geteuid() != 0 or None in map(shutil.which, ("unshare", "setpriv")):
        return "it takes Linux, root and the programs unshare and setpriv"
    script = _REAPING.format(temporary="/dev/shm")  # noqa: S108 - it is that of the new machine
    done = subprocess.run([*_UNSHARE, "sh", "-c", script, "sh", "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip() or f"unshare ended with status {done.returncode}" if done.returncode else None


def perform(trial: Trial, kept: Path) -> Result:
    """Perform a trial on a machine of its own.

    Args:
        trial: The trial.
        kept: A directory for what it writes, which is made.
    """
    kept.mkdir(parents=True)
    temporary = kept / "tmp"
    temporary.mkdir()
    script = (_REAPING if trial.reaped else _KEEPING).format(temporary=temporary)
    command = [sys.executable, "-m", "tests.crashes.trial", json.dumps(asdict(trial)), str(kept)]
    with (kept / "trial.txt").open("wb") as output:
        process = subprocess.Popen(
            [*_UNSHARE, "sh", "-c", script, "sh", *command], cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(temporary)},
            # Ctrl-C is for us: the machine is ended below.
            start_new_session=True,
        )  # fmt: skip
    _HOLDERS.add(process)
    try:
        process.wait(_LIMIT)
    except subprocess.TimeoutExpired:
        return Result(trial, HUNG, problems=[f"the trial has not ended within {_LIMIT} s"], kept=str(kept))
    finally:
        process.kill()
        process.wait()
        _HOLDERS.discard(process)
    return _read(trial, kept)


def end_all() -> None:
    """End all machines there are; the trials on them fail."""
    for process in list(_HOLDERS):
        process.kill()


def _read(trial: Trial, kept: Path) -> Result:
    path = kept / RESULT
    if not path.exists():
        return Result(trial, BROKEN, problems=[(kept / "trial.txt").read_text(errors="replace")], kept=str(kept))
    told = json.loads(path.read_text(encoding="utf-8"))
    return Result(**{**told, "trial": trial, "kept": str(kept)})
