"""Installations of Postgres on this machine that a server can be started with: those of wheels, and others."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_pristine import operating_system
from pytest_pristine.errors import BinariesError, SettingError
from pytest_pristine.operating_system import Account
from pytest_pristine.servers import binaries
from pytest_pristine.servers.binaries import Binaries
from pytest_pristine.servers.needs import Needs
from pytest_pristine.servers.wheels import WHEELS
from pytest_pristine.settings import OLDEST_MAJOR, Value

WHEEL_PREFIX = "embedded-"
LOCAL_PREFIX = "local-"
# Hexadecimal digits that tell the directories of two installations of one version apart.
_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Installation:
    """Postgres programs, and what is made of them.

    Attributes:
        name: The name of the directory of the server that runs share.
        how: What they are, for people: "embedded", "local, /usr/lib/postgresql/15/bin".
        installed: The programs where they are installed.
        provide: Gives the programs where an account can execute them, given our home directory; raises
            `BinariesError`.
    """

    name: str
    how: str
    installed: Binaries
    provide: Callable[[Path, Account | None], Binaries]

    @property
    def major(self) -> int:
        """The major version."""
        return self.installed.major

    def reason_against(self, needs: Needs) -> str | None:
        """Why its servers will not do; None when they will, or only a server can tell."""
        if self.major < OLDEST_MAJOR:
            return f"PostgreSQL {self.major} is older than {OLDEST_MAJOR}, the oldest supported"
        reason = needs.reason_against_version(self.major)
        if reason is None and needs.extensions:
            available = self.installed.extensions()
            reason = None if available is None else needs.reason_against_extensions(self.major, available)
        return reason


def of_wheels() -> list[Installation]:
    """Those of the wheels that are installed, in order of preference."""
    return [
        Installation(f"{WHEEL_PREFIX}{wheel.major}", "embedded", wheel.programs(), wheel.provide)
        for wheel in WHEELS
        if wheel.site() is not None
    ]


def on_this_machine(configured: Value[str | None]) -> list[Installation]:
    """Those that somebody installed, newest first: the one that is configured alone, if one is.

    Args:
        configured: `pristine_postgres_bin`.

    Raises:
        SettingError: There are no Postgres programs in the directory that is configured.
    """
    if configured.value is not None:
        directory = Path(configured.value).expanduser().absolute()
        found = binaries.inspect(directory)
        if found is None:
            raise SettingError(
                f"Postgres programs ({', '.join(binaries.NEEDED)}) in {directory} ({configured.origin})",
                "not all of them, or none that can be run" if directory.is_dir() else "no such directory",
                [f"correct {configured.origin}, for example to {_example()}"],
            )
        return [_local(found)]
    places = dict.fromkeys(directory.resolve() for directory in _places() if directory.is_dir())
    several = [found for found in map(binaries.inspect, places) if found is not None]
    return [_local(found) for found in sorted(several, key=lambda found: -found.major)]


def _local(found: Binaries) -> Installation:
    digest = hashlib.sha256(os.fsencode(found.directory)).hexdigest()[:_DIGITS]

    def provide(_: Path, account: Account | None) -> Binaries:
        reason = binaries.reason_not_executable(found, account)
        if reason is not None:
            name = operating_system.account_name()
            raise BinariesError(
                f"Postgres programs that the account {name!r} can execute",
                f"{reason}, in {found.directory}",
                [f"open {found.directory} to {name!r}, or use other programs: pristine_postgres_bin"],
            )
        return found

    return Installation(f"{LOCAL_PREFIX}{found.major}-{digest}", f"local, {found.directory}", found, provide)


def _places() -> Iterator[Path]:
    """The directories where programs may be: those that this shell would use, then those of packages."""
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        done = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False)  # noqa: S603 - it is the user's own
        if done.returncode == 0:
            yield Path(done.stdout.strip())
    for name in binaries.NEEDED:
        program = shutil.which(name)
        if program is not None:
            yield Path(program).resolve().parent
    yield from operating_system.postgres_directories()


def _example() -> Path:
    return next((path for path in operating_system.postgres_directories()), Path("/usr/lib/postgresql/18/bin"))
