"""The home directory, the account and its programs."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_pristine import operating_system
from pytest_pristine.diagnosis import storage
from tests.conftest import Home, Project, new_home, wheel_binaries
from tests.diagnosis.conftest import doctor

AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root has another account than its own")
needs_user = pytest.mark.skipif(AS_ROOT, reason="root may write everywhere")


def test_a_home_to_be_made(project: Project, tmp_path: Path) -> None:
    """A home that is not there yet is no problem, and is not made by looking."""
    with new_home() as home:
        place = home.path / "deep/home"
        report = doctor(project, PRISTINE_HOME=str(place))
        assert report.tell("storage", "directory") == (
            "ok", f"{place} (PRISTINE_HOME), which the first server makes", [],
        )  # fmt: skip
        assert report.one("storage", "free space")["level"] == "ok"
        assert {finding["subject"] for finding in report.of("storage")} == {"directory", "free space"}
        assert not place.parent.exists()


def test_a_home_in_use(project: Project, shared_home: Home) -> None:
    """A home with a server is told with its size, and nothing in it is open to others."""
    assert project.run().status == 0
    report = doctor(project)
    assert report.tell("storage", "directory") == ("ok", f"{shared_home.path} (PRISTINE_HOME)", [])
    assert report.one("storage", "size")["found"].endswith(" MB")
    assert {finding["level"] for finding in report.of("storage")} == {"ok"}


def test_a_home_that_is_a_file(project: Project) -> None:
    """A file in the place of the directory has failed."""
    path = project.path / "alembic.ini"
    assert doctor(project, PRISTINE_HOME=str(path)).tell("storage", "directory") == (
        "failed", f"{path} (PRISTINE_HOME) is no directory", ["set PRISTINE_HOME to another directory"],
    )  # fmt: skip


@needs_user
def test_a_home_that_cannot_be_written(project: Project, tmp_path: Path) -> None:
    """A directory that we may not write in has failed."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    level, found, _ = doctor(project, PRISTINE_HOME=str(closed / "home")).tell("storage", "directory")
    assert (level, found) == ("failed", f"{closed / 'home'} (PRISTINE_HOME), and {closed} cannot be written")


@needs_root
def test_a_home_that_the_account_cannot_enter(project: Project, tmp_path: Path) -> None:
    """A home below a directory that keeps the servers' account out has failed, with the permissions that do."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    report = doctor(project, PRISTINE_HOME=str(closed / "home"))
    level, found, remedy = report.tell("storage", "access")
    assert level == "failed"
    assert found.startswith("permissions 07")
    assert found.endswith(f"keep {operating_system.account_name()} out")
    assert remedy == ["set PRISTINE_HOME to another directory"]


@pytest.mark.parametrize(("free", "level"), [(10**8, "failed"), (5 * 10**8, "warning"), (2 * 10**9, "ok")])
def test_free_space(free: int, level: str) -> None:
    """Little space is a warning, and too little for a server has failed."""
    finding = storage.judge_space(free, Path("/home"))
    assert finding.level == level
    assert finding.found.startswith(f"{free / 2**20:.0f} MB in the file system of ")
    assert (finding.remedy != ()) == (level != "ok")
    assert level != "failed" or finding.found.endswith(", and a server needs 200 MB")


@pytest.mark.skipif(sys.platform == "win32", reason="files have no modes")
def test_what_others_can_read(project_at: Callable[[Home], Project], home: Home) -> None:
    """A password that others can read, and a directory that they can enter, is warned of."""
    project = project_at(home)
    assert project.run(PRISTINE_LINGER="60").status == 0
    server = home.server()
    (server / "password").chmod(0o644)
    (server / "socket").chmod(0o755)
    report = doctor(project)
    assert report.tell("storage", f"{server.name}/password") == (
        "warning", "permissions 0644: others can reach what is in it", [f"chmod 600 {server / 'password'}"],
    )  # fmt: skip
    assert report.one("storage", f"{server.name}/socket")["remedy"] == [f"chmod 700 {server / 'socket'}"]
    assert stat.S_IMODE((server / "data").stat().st_mode) == 0o700
    assert len([finding for finding in report.of("storage") if finding["level"] == "warning"]) == 2


def test_the_account(project: Project) -> None:
    """The account that runs servers is named, and can execute the programs."""
    report = doctor(project)
    told = report.one("account", "account")
    why = "we are root, and Postgres refuses to run as root" if AS_ROOT else "as we do"
    assert told["level"] == "ok"
    assert operating_system.account_name() in told["found"]
    assert why in told["found"]
    assert report.one("account", "PostgreSQL 18")["level"] == "ok"


@needs_root
def test_programs_that_the_account_cannot_execute(project: Project, tmp_path: Path) -> None:
    """Programs behind a directory that keeps the account out are warned of."""
    closed = tmp_path / "closed"
    closed.mkdir()
    for name in ("initdb", "pg_ctl", "postgres"):
        (closed / name).symlink_to(wheel_binaries().program(name))
    closed.chmod(0o700)
    level, found, remedy = doctor(project, PRISTINE_POSTGRES_BIN=str(closed)).tell("account", "PostgreSQL 18")
    who = operating_system.account_name()
    assert level == "warning"
    assert found == f"{closed} cannot be executed by {who}: Permission denied"
    assert remedy == [f"open the directory to {who}, or name other programs: pristine_postgres_bin"]


def test_no_account(monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    """Root without an account to borrow has failed."""
    from pytest_pristine.diagnosis import account

    def none() -> None:
        raise LookupError("none of the accounts postgres, nobody")

    monkeypatch.setattr(operating_system, "server_account", none)
    (finding,) = account.check(None)  # type: ignore[arg-type] # not looked at
    assert finding.level == "failed"
    assert finding.found == "we are root, which Postgres refuses, and there is none of the accounts postgres, nobody"
    assert finding.remedy == ("run as an ordinary user, or make an account: useradd --system postgres",)
