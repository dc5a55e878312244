"""Leases on a server of ours: files that a run keeps locked while it uses the server.

The operating system releases the lock when the run ends, however it ends. A lease that nobody locks is over.
All functions here are for whoever holds the server's lock: nobody may meet a file that is not locked yet, or that is no
longer there.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

_FOLDER = "leases"
_LINGER = "linger"


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease that this process holds."""

    lock: FileLock

    def release(self) -> None:
        """Give the server back."""
        self.lock.release()


def take(server: Path, linger: float) -> Lease:
    """Take a lease, and remove the files of those that are over.

    Args:
        server: The server's directory.
        linger: Seconds that this run wants the server to stay when it is given back.
    """
    folder = server / _FOLDER
    folder.mkdir(exist_ok=True)
    sweep(server)
    # A run may end in another thread than it began in.
    lock = FileLock(folder / secrets.token_hex(8), thread_local=False)
    lock.acquire(timeout=0)
    (server / _LINGER).write_text(f"{linger:g}", encoding="utf-8")
    return Lease(lock)


def held(server: Path) -> int:
    """How many leases are held."""
    return sum(_is_locked(path) for path in _files(server))


def linger(server: Path) -> float:
    """For how many seconds the last run to take a lease wants the server to stay."""
    path = server / _LINGER
    return float(path.read_text(encoding="utf-8")) if path.exists() else 0.0


def sweep(server: Path) -> None:
    """Remove the files of leases that are over."""
    for path in _files(server):
        if not _is_locked(path):
            path.unlink(missing_ok=True)


def _files(server: Path) -> list[Path]:
    return sorted((server / _FOLDER).glob("*"))


def _is_locked(path: Path) -> bool:
    probe = FileLock(path)
    try:
        probe.acquire(timeout=0)
    except Timeout:
        return True
    probe.release()
    return False
