"""Clearing up after what died: a server's sessions that outlive it and its shared memory, the initdb of a run."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from pytest_pristine import operating_system, progress
from pytest_pristine.operating_system import Account

if TYPE_CHECKING:
    from collections.abc import Iterable

# Seconds that a process which was killed may take to be gone.
_TIMEOUT = 10


def clear(data: Path, postgres: Path, account: Account | None) -> None:
    """Leave nothing of a server that died but its data, whole again.

    Args:
        data: Its data directory, in which its pid file lies.
        postgres: The program that it ran.
        account: The account that ran it; None for our own.
    """
    _end_sessions(data)
    # Postgres takes a process that nobody reaped for a living one.
    (data / "postmaster.pid").unlink(missing_ok=True)
    _recover(data, postgres, account)


def _end_sessions(data: Path) -> None:
    """End the sessions: one that computes does not notice that it is alone, and as long no other server can start."""
    place = str(data.resolve())
    _end(
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["cwd"] == place and str(process.info["name"]).startswith("postgres")
    )


def clear_workshop(workshop: Path) -> None:
    """Remove what is left of a data directory that was being made.

    The initdb of a run that was killed goes on: it would fill the directory while we remove it, and again when the
    next one works there. The server that it talks to ends with it, in order, and frees its shared memory.
    """
    if workshop.exists():
        data = workshop / "data"
        _end(
            process
            for process in psutil.process_iter(["name", "cmdline"])
            if str(process.info["name"]).startswith("initdb") and str(data) in (process.info["cmdline"] or ())
        )
        place = str(data.resolve())
        servers = [process for process in psutil.process_iter(["cwd"]) if process.info["cwd"] == place]
        _, deaf = psutil.wait_procs(servers, timeout=_TIMEOUT)
        _end(deaf)
        shutil.rmtree(workshop, ignore_errors=True)


def _end(processes: Iterable[psutil.Process]) -> None:
    found = list(processes)
    for process in found:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(found, timeout=_TIMEOUT)


def _recover(data: Path, postgres: Path, account: Account | None) -> None:
    """Have Postgres mend the data and free the shared memory that only it knows of.

    That memory would stay until the machine is started again, if the data were removed now. Where this does not
    succeed, the next start says why.
    """
    command = [str(postgres), "--single", "-D", str(data), "postgres"]
    with progress.doing(f"recovering the server in {data.parent}"), contextlib.suppress(OSError):
        operating_system.run_as(account, command, cwd=data.parent)
