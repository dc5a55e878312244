"""The directory in which servers of ours live."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from pytest_pristine import operating_system
from pytest_pristine.errors import SettingError
from pytest_pristine.operating_system import Account
from pytest_pristine.settings import Value

_SERVERS = "servers"
# The names that we give to directories of servers, and files that one has from its first moment on. Somebody may name a
# directory as our home that holds his own things.
_NAMES = re.compile(r"embedded-\d+|local-\d+-[0-9a-f]+|docker-[0-9a-f]+|up-\d+")
_FILES = ("lock", "server.json", "programs", "keeper.log")


def locate(setting: Value[str | None]) -> Path:
    """Where the directory is, or would be."""
    return Path(setting.value).expanduser().absolute() if setting.value else operating_system.cache_home()


def servers_directory(setting: Value[str | None]) -> Path:
    """The directory that holds the directories of servers, or would."""
    return locate(setting) / _SERVERS


def provide(setting: Value[str | None], account: Account | None) -> Path:
    """The directory, made if it is not there.

    Args:
        setting: `pristine_home`.
        account: The account that runs servers in it; None for our own.

    Raises:
        SettingError: It cannot be made, or the account cannot enter it.
    """
    path = locate(setting)
    try:
        operating_system.make_passable(path)
    except OSError as error:
        raise SettingError(
            f"a directory for servers in {path} ({setting.origin})", f"{error.strerror}",
            ["set PRISTINE_HOME to a directory that can be written"],
        ) from None  # fmt: skip
    closed = operating_system.closed_parent(path / _SERVERS, account)
    if account is not None and closed is not None:
        raise SettingError(
            f"a directory for servers that the account {account.name!r} can enter: {path} ({setting.origin})",
            f"permissions {closed.stat().st_mode & 0o777:04o} of {closed}, which keep it out",
            ["set PRISTINE_HOME to another directory"],
        )
    return path


def server(directory: Path, name: str) -> Path:
    """The directory of one server, made if it is not there.

    Raises:
        SettingError: It is not ours to write.
    """
    path = directory / _SERVERS / name
    try:
        operating_system.make_passable(path)
    except OSError as error:
        raise _not_ours(path, str(error.strerror)) from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise _not_ours(path, "it belongs to another account")
    return path


def servers(directory: Path, pattern: str = "*") -> list[Path]:
    """The directories of the servers there are.

    Raises:
        SettingError: They are not ours to read.
    """
    try:
        return sorted(path for path in (directory / _SERVERS).glob(pattern) if _is_ours(path))
    except OSError as error:
        raise _not_ours(directory, str(error.strerror)) from None


def _is_ours(path: Path) -> bool:
    """Whether a directory is that of a server."""
    return _NAMES.fullmatch(path.name) is not None and any((path / name).exists() for name in _FILES)


def remove(path: Path) -> None:
    """Remove the directory of a server that was discarded. The caller holds the lock that lies in it."""
    shutil.rmtree(path, ignore_errors=True)


def _not_ours(path: Path, reason: str) -> SettingError:
    remedy = "set PRISTINE_HOME to a directory of your own"
    return SettingError(f"a directory for servers in {path}", reason, [remedy])
