"""The home directory: who can enter it, how much room there is, and what others can read in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from pytest_pristine import clock, operating_system
from pytest_pristine.diagnosis import findings
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding
from pytest_pristine.servers import home

_MB = 1 << 20
# A new server takes 40 MB, a template and its copies 8 MB each and more with rows: below this the first one fills it.
SMALLEST = 200 * _MB
# A server keeps up to 2 GB of WAL while tests write much (`cluster.SETTINGS`); half of that is where it gets tight.
COMFORTABLE = 1024 * _MB
# Seconds to add up the sizes of files: a home may hold many servers, each with thousands.
_PATIENCE = 5
# What only its owner may enter or read, in the directory of a server.
_PRIVATE = ("data", "socket", "server.json", "password", "engine.json")
_REMEDY = "set PRISTINE_HOME to another directory"


def check(context: Context) -> Iterator[Finding]:
    """Look at the directory, or at where it would be made."""
    setting = context.settings.home
    directory = home.locate(setting)
    there = _existing(directory)
    yield _place(directory, there, setting.origin)
    yield from _closed(directory)
    free = shutil.disk_usage(there).free
    yield judge_space(free, there)
    if directory.is_dir():
        yield findings.ok("size", _size(directory))
        yield from _open_to_others(directory)


def _existing(directory: Path) -> Path:
    """The directory, or the nearest above it that is there."""
    return next(path for path in (directory, *directory.parents) if path.is_dir())


def _place(directory: Path, there: Path, origin: str) -> Finding:
    if directory.exists() and not directory.is_dir():
        return findings.failed("directory", f"{directory} ({origin}) is no directory", _REMEDY)
    if not os.access(there, os.W_OK | os.X_OK):
        return findings.failed("directory", f"{directory} ({origin}), and {there} cannot be written", _REMEDY)
    made = "" if there == directory else ", which the first server makes"
    return findings.ok("directory", f"{directory} ({origin}){made}")


def _closed(directory: Path) -> Iterator[Finding]:
    """Whether the account of the servers can get there. That there is one is looked at elsewhere."""
    try:
        account = operating_system.server_account()
    except LookupError:
        return
    closed = operating_system.closed_parent(directory / "servers", account)
    if account is not None and closed is not None:
        mode = closed.stat().st_mode & 0o777
        yield findings.failed("access", f"permissions {mode:04o} of {closed} keep {account.name} out", _REMEDY)


def judge_space(free: int, where: Path) -> Finding:
    """What to say of so many bytes of free space."""
    found = f"{_megabytes(free)} in the file system of {where}"
    remedies = ("make room: pristine prune removes what no run needs", f"or {_REMEDY}")
    if free < SMALLEST:
        return findings.failed("free space", f"{found}, and a server needs {_megabytes(SMALLEST)}", *remedies)
    if free < COMFORTABLE:
        return findings.warning("free space", f"{found}; below {_megabytes(COMFORTABLE)} it gets tight", *remedies)
    return findings.ok("free space", found)


def _megabytes(size: int) -> str:
    return f"{size / _MB:.0f} MB" if size < 10 * 1024 * _MB else f"{size / 1024 / _MB:.0f} GB"


def _size(directory: Path) -> str:
    """How much the directory holds, as far as it can be added up in time."""
    end, total = clock.now() + _PATIENCE, 0
    for place, _, names in os.walk(directory):
        for name in names:
            try:
                total += (Path(place) / name).lstat().st_size
            except OSError:
                continue  # a server removes files all the time
        if clock.now() > end:
            return f"more than {_megabytes(total)}"
    return _megabytes(total)


def _open_to_others(directory: Path) -> Iterator[Finding]:
    """What others could read or enter although it is private. Nothing of ours is ever made so."""
    for server in home.servers(directory):
        for name in _PRIVATE:
            path = server / name
            mode = operating_system.open_to_others(path)
            if mode is not None:
                private = "700" if path.is_dir() else "600"
                yield findings.warning(
                    f"{server.name}/{name}", f"permissions {mode:04o}: others can reach what is in it",
                    f"chmod {private} {path}",
                )  # fmt: skip
