"""Clearing up after a server that died: the sessions that outlive it, and the shared memory that it leaves."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil

from pytest_pristine import operating_system, progress
from pytest_pristine.operating_system import Account

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
    found = [
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["cwd"] == place and str(process.info["name"]).startswith("postgres")
    ]
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
