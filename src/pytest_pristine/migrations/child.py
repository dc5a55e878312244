"""Work on the project's migrations in a process of its own: a module of ours, a request to it, its answer."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pytest_pristine.migrations.messages import Request, Task
from pytest_pristine.migrations.surroundings import Surroundings

_running: set[subprocess.Popen[bytes]] = set()
# Directories are named for the process that makes them.
_OF_A_PROCESS = re.compile(r"pristine-(\d+)-\w+")


@dataclass(frozen=True, slots=True)
class Reply:
    """How it ended.

    Attributes:
        answer: What the process answered; None when it ended before it did.
        output: What it printed.
        end: How it ended, for people, when it did not answer: "ended with status 1 before it was done".
    """

    answer: dict[str, Any] | None
    output: str = field(repr=False)
    end: str = ""


def ask(
    module: str,
    request: Request | Task,
    variables: Mapping[str, str],
    limit: float | None = None,
    *arguments: str,
    surroundings: Surroundings | None = None,
) -> Reply:
    """Run a module with a request and wait for its answer.

    The request goes through standard input: a command line can be read by everybody on the machine, and the URL holds
    a password.

    Args:
        module: The module, which takes the path for its answer as argument.
        request: What to do.
        variables: Variables that it gets besides those of the surroundings.
        limit: Seconds after which it is ended; None for as long as it takes.
        arguments: Further arguments.
        surroundings: Where it finds modules, and its environment; those of this process when they are not given.
    """
    around = surroundings or Surroundings.here()
    _sweep(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(prefix=f"pristine-{os.getpid()}-") as scratch,
        tempfile.TemporaryFile("w+b") as output,
    ):
        answer = Path(scratch) / "answer.json"
        path = os.pathsep.join([*around.path, request.directory])
        try:
            status = _run(
                # Without -P modules beside alembic.ini would shadow the standard library's.
                [sys.executable, "-P", "-m", module, str(answer), *arguments],
                json.dumps(asdict(request)).encode(),
                limit,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=request.directory,
                env={**around.environ, **variables, "PYTHONPATH": path},
            )
            end = f"ended with status {status} before it was done"
        except subprocess.TimeoutExpired:
            end = f"was not done within {limit:g} s and was ended"
        output.seek(0)
        said = output.read().decode(errors="replace")
        if not answer.exists():
            return Reply(None, said, end)
        return Reply(json.loads(answer.read_text(encoding="utf-8")), said)


def call(
    command: Sequence[str], directory: Path, environ: Mapping[str, str], limit: float | None
) -> tuple[int | None, str]:
    """Run a command of the project's and wait for its end. It gets no input.

    Returns:
        Its exit status, None when it was ended because of the limit; and what it printed.

    Raises:
        OSError: It cannot be run.
    """
    with tempfile.TemporaryFile("w+b") as output:
        status: int | None
        try:
            status = _run(
                command, b"", limit, stdout=output, stderr=subprocess.STDOUT, cwd=directory, env=dict(environ)
            )
        except subprocess.TimeoutExpired:
            status = None
        output.seek(0)
        return status, output.read().decode(errors="replace")


def end_all() -> None:
    """End the processes that other threads wait for: what they do is no longer needed."""
    for process in tuple(_running):
        process.terminate()


def _run(command: Sequence[str], given: bytes, limit: float | None, **options: Any) -> int:  # noqa: ANN401 - Popen's
    """Run a process to its end; gives its exit status. It never outlives the waiting for it."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, **options) as process:  # noqa: S603 - the command is ours
        _running.add(process)
        try:
            process.communicate(given, timeout=limit)
        except BaseException:
            _kill(process.pid)
            raise
        finally:
            _running.discard(process)
        return process.returncode


def _kill(pid: int) -> None:
    """Kill a process and those that it started: what they inherited would keep us waiting."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                each.kill()


def _sweep(directory: Path) -> None:
    """Remove what processes left here that were killed: what is named for one that is no more."""
    for path in directory.glob("pristine-*"):
        match = _OF_A_PROCESS.fullmatch(path.name)
        if match is not None and not psutil.pid_exists(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)  # it may be another account's
