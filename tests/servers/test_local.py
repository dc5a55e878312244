"""The source `local`: programs that somebody installed on this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_pristine import operating_system, settings
from pytest_pristine.errors import BinariesError, SettingError
from pytest_pristine.servers import installations
from tests.conftest import DEBIAN

if TYPE_CHECKING:
    from tests.conftest import Home
    from tests.servers.conftest import Resolve

NOTHING = settings.resolve({}).postgres_bin
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has another account than its own")


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine on which nothing is installed where it is looked for."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(operating_system, "postgres_directories", lambda: iter(()))
    return monkeypatch


def found() -> list[Path]:
    """The directories of the installations that are found."""
    return [each.installed.directory for each in installations.on_this_machine(NOTHING)]


def fake(directory: Path, version: str) -> Path:
    """Programs that say their version and do nothing else."""
    directory.mkdir(parents=True)
    for name in ("initdb", "pg_ctl", "postgres"):
        (directory / name).write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        (directory / name).chmod(0o755)
    return directory


def test_a_server_of_installed_programs(resolve: Resolve, home: Home) -> None:
    """A server of our own is started from them; the one that the package may run is not touched."""
    server = resolve(option={"server": "local"}, PRISTINE_POSTGRES_BIN=str(DEBIAN))
    try:
        assert str(server) == f"PostgreSQL {server.capabilities.version_text} (local, {DEBIAN})"
        (postmaster,) = home.postmasters()
        assert Path(postmaster.exe()).parent == DEBIAN
        assert "/servers/local-15-" in " ".join(postmaster.cmdline())
    finally:
        server.release()


def test_programs_of_pg_config(nowhere: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The directory that pg_config names is looked into."""
    (tmp_path / "pg_config").write_text(f"#!/bin/sh\necho {DEBIAN}\n")
    (tmp_path / "pg_config").chmod(0o755)
    nowhere.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert found() == [DEBIAN]


def test_programs_in_path(nowhere: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The directory from which PATH has a program is looked into, links followed to where the others lie."""
    fake(tmp_path / "pg", "17.2")
    (tmp_path / "links").mkdir()
    (tmp_path / "links/initdb").symlink_to(tmp_path / "pg/initdb")
    nowhere.setenv("PATH", str(tmp_path / "links"))
    assert found() == [tmp_path / "pg"]


def test_the_newest_comes_first(nowhere: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of several installations the newest comes first, whatever the order of the places; each counts once."""
    several = [fake(tmp_path / name, version) for name, version in [("a", "9.6.1"), ("b", "17.2"), ("c", "19beta1")]]
    nowhere.setattr(operating_system, "postgres_directories", lambda: iter([*several, *several]))
    assert found() == [several[2], several[1], several[0]]


def test_a_directory_without_all_programs(nowhere: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A client's installation, which has no server, is none."""
    (fake(tmp_path / "a", "17.2") / "postgres").unlink()
    nowhere.setattr(operating_system, "postgres_directories", lambda: iter([tmp_path / "a", tmp_path / "b"]))
    assert found() == []


def test_an_installation_that_is_too_old(resolve: Resolve, tmp_path: Path) -> None:
    """Programs older than the oldest supported are passed over with that reason."""
    old = fake(tmp_path / "old", "13.4")
    with pytest.raises(Exception, match="PostgreSQL 13 is older than 14, the oldest supported"):
        resolve(option={"server": "local"}, PRISTINE_POSTGRES_BIN=str(old))


def test_a_directory_that_is_configured_and_empty(resolve: Resolve, tmp_path: Path) -> None:
    """A directory that is named and holds no programs is an error that says which setting named it."""
    with pytest.raises(SettingError) as caught:
        resolve(option={"server": "local"}, PRISTINE_POSTGRES_BIN=str(tmp_path))
    assert caught.value.sought == (
        f"Postgres programs (initdb, pg_ctl, postgres) in {tmp_path} (PRISTINE_POSTGRES_BIN)"
    )
    assert caught.value.found == "not all of them, or none that can be run"
    assert caught.value.remedy == (f"correct PRISTINE_POSTGRES_BIN, for example to {DEBIAN}",)


def test_configured_programs_come_before_the_wheel(resolve: Resolve) -> None:
    """Who names programs gets these, not the wheel's."""
    server = resolve(PRISTINE_POSTGRES_BIN=str(DEBIAN))
    try:
        assert server.source == "local"
        assert "PRISTINE_POSTGRES_BIN names other programs" in [each.reason for each in server.passed_over]
    finally:
        server.release()


@needs_root
def test_programs_that_the_account_cannot_execute(resolve: Resolve, home: Home) -> None:
    """Programs that the server's account cannot execute are told with the directory and the account."""
    shut = fake(home.path / "shut/bin", "18.1")
    shut.parent.chmod(0o700)
    with pytest.raises(BinariesError) as caught:
        resolve(option={"server": "local"}, PRISTINE_POSTGRES_BIN=str(shut))
    assert caught.value.found == f"Permission denied, in {shut}"
    assert caught.value.remedy[0].startswith(f"open {shut} to ")
    shutil.rmtree(shut.parent)
