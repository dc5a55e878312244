"""A directory of Postgres programs: what it is, and whether the account that is to run them can."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pytest_pristine import operating_system
from pytest_pristine.operating_system import Account

# What a server is made with.
NEEDED = ("initdb", "pg_ctl", "postgres")
# Distributors append their own words: postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1).
_VERSION = re.compile(r"PostgreSQL\)? (\d+)[\w.]*")
_CONTROL = ".control"


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

    def extensions(self) -> frozenset[str] | None:
        """The extensions that a server of these programs has; None where only the server can tell."""
        share = _ask(self.directory, "pg_config", "--sharedir")
        if share is None or not (Path(share) / "extension").is_dir():
            return None
        return frozenset(path.name.removesuffix(_CONTROL) for path in Path(share, "extension").glob(f"*{_CONTROL}"))


def inspect(directory: Path) -> Binaries | None:
    """The programs in a directory; None when it does not hold all that a server is made with."""
    if not all(operating_system.program(directory, name).is_file() for name in NEEDED):
        return None
    major = _major(_ask(directory, "postgres", "--version") or "")
    return None if major is None else Binaries(directory, major)


def reason_not_executable(binaries: Binaries, account: Account | None) -> str | None:
    """Why the account cannot run the programs; None when it can."""
    command = [binaries.program("postgres"), "--version"]
    try:
        done = operating_system.run_as(account, command, cwd=Path(binaries.directory.anchor))
    except OSError as error:
        return str(error.strerror)
    found = _major(done.stdout)
    if done.returncode != 0 or found is None:
        return done.stdout.strip() or f"exit status {done.returncode}"
    return None if found == binaries.major else f"PostgreSQL {found} in the place of {binaries.major}"


def _ask(directory: Path, name: str, question: str) -> str | None:
    """What one of the programs says of itself; None when it is not there or cannot be run."""
    command = [str(operating_system.program(directory, name)), question]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)  # noqa: S603 - the command is ours
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _major(said: str) -> int | None:
    match = _VERSION.search(said)
    return None if match is None else int(match[1])
