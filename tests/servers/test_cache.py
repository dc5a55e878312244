"""What a shared server holds is a cache: made anew where it cannot be used, and told where that cannot be done."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from pytest_pristine import operating_system
from pytest_pristine.errors import NoRoomError, NoServerError, StartError
from pytest_pristine.postgres import connections, databases, marks
from pytest_pristine.servers.cluster import Cluster, Login
from tests.cli.conftest import command
from tests.conftest import SOURCE, WANTED, binaries, new_home, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Home, Project
    from tests.servers.conftest import Resolve, Use

_BROKEN = '#!/bin/sh\n[ "$1" = --version ] && echo "postgres (PostgreSQL) 18.1" && exit\necho broken\nexit 1\n'
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away and mount")


@pytest.fixture
def stopped(home: Home, use: Use) -> Path:
    """The data directory of a server that was used, and was stopped."""
    use(home, PRISTINE_LINGER="0")
    wait_until(lambda: not home.processes(), "server and keeper end")
    return home.server() / "data"


def damage(data: Path) -> None:
    """Empty the file without which no server starts."""
    (data / "global/pg_control").write_bytes(b"")


def leave_half(data: Path) -> None:
    """Remove what tells the version, as a removal that was interrupted may."""
    (data / "PG_VERSION").unlink()


def pretend_another_version(data: Path) -> None:
    """Have the directory say that another major version made it."""
    (data / "PG_VERSION").write_text("9\n")


def give_away(data: Path) -> None:
    """Have another account own the directory, as after a change of the account that runs servers."""
    os.chown(data, 54321, 54321)


@pytest.mark.parametrize(
    "spoil", [damage, leave_half, pretend_another_version, pytest.param(give_away, marks=needs_root)]
)
def test_a_data_directory_that_cannot_be_used(
    home: Home, stopped: Path, use: Use, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A data directory that is damaged, half removed, of another version or account is made anew, and it is logged."""
    spoil(stopped)
    use(home)
    assert f"the data directory {stopped} cannot be used and is made anew: " in caplog.text
    assert len(home.postmasters()) == 1


def test_an_address_that_cannot_be_read(home: Home, stopped: Path, use: Use) -> None:
    """An address that a loss of power cut short is as good as none: the status is shown, and the next run passes."""
    (home.server() / "server.json").write_bytes(b"")
    assert json.loads(command(home, "status", "--json").output)["servers"][0]["state"] == "stopped"
    use(home)
    assert (stopped / "PG_VERSION").exists()


def test_a_run_on_a_damaged_cache(home: Home, project_at: Callable[[Home], Project], stopped: Path) -> None:
    """A run on a damaged cache passes: it migrates again."""
    damage(stopped)
    run = project_at(home).run()
    assert run.status == 0, run.output


def test_a_server_whose_files_were_removed(home: Home, use: Use) -> None:
    """When somebody removes the cache below a running server, the next run has a new one."""
    use(home)
    (old,) = home.postmasters()
    data = home.server() / "data"

    def removed() -> bool:
        # The server makes files meanwhile.
        shutil.rmtree(data, ignore_errors=True)
        return not data.exists()

    wait_until(removed, "its files are removed")
    use(home)
    assert [process.pid for process in home.postmasters()] != [old.pid]
    assert (home.server() / "data/PG_VERSION").exists()


@needs_root
def test_a_full_disk(resolve: Resolve) -> None:
    """Where the disk is full no server is made; the reason and what to type are told, and nothing is left behind."""
    with new_home() as home:
        subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=24m,mode=711", "tmpfs", str(home.path)], check=True)
        try:
            with pytest.raises(StartError) as caught:
                resolve(option={"server": "embedded"}, PRISTINE_HOME=str(home.path))
            assert "No space left on device" in caught.value.found
            assert any(line.startswith("free some space: pristine prune") for line in caught.value.remedy)
            assert not (home.server() / "data").exists()
            assert not (home.server() / "making").exists()
            with pytest.raises(NoServerError) as caught_all:
                resolve(PRISTINE_HOME=str(home.path))
            assert "No space left on device" in caught_all.value.found
            assert {line.split(":")[0] for line in caught_all.value.found.splitlines()} >= {"embedded", "local"}
        finally:
            subprocess.run(["/bin/umount", str(home.path)], check=True)


@needs_root
def test_a_disk_that_fills_up(resolve: Resolve) -> None:
    """Where the disk of a server that runs has no room for a database, the error says so and what to type."""
    with new_home() as home:
        subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=300m,mode=711", "tmpfs", str(home.path)], check=True)
        try:
            server = resolve(option={"server": SOURCE}, PRISTINE_HOME=str(home.path), PRISTINE_LINGER="0", **WANTED)
            try:
                with connections.connect(server.url, "test") as connection:
                    fill(home.path)
                    with pytest.raises(NoRoomError) as caught:
                        databases.create(connection, "pristine_large", marks.Mark(marks.SCRATCH, run="", project=""))
                assert caught.value.sought == "to make the database 'pristine_large', a copy of 'template0'"
                assert caught.value.found.endswith("No space left on device")
                assert caught.value.remedy == (
                    "free some space where the server has its data: pristine status, pristine prune --all",
                )
            finally:
                (home.path / "filling").unlink()
                server.release()
            wait_until(lambda: not home.processes(), "the server stops")
        finally:
            subprocess.run(["/bin/umount", str(home.path)], check=True)


def fill(path: Path) -> None:
    """Leave less room in a file system than a database takes, and enough for the server's log of what it does."""
    (path / "filling").write_bytes(bytes(shutil.disk_usage(path).free - 4 * 2**20))


@pytest.fixture
def broken(home: Home) -> Path:
    """Programs of which `postgres` says its version and nothing else."""
    programs = home.path / "programs"
    programs.mkdir()
    for name in ("initdb", "pg_ctl", "postgres"):
        path = programs / name
        path.write_text(_BROKEN)
        path.chmod(0o755)
    return programs


def test_programs_that_do_not_work(resolve: Resolve, broken: Path) -> None:
    """What programs say that make no data directory is told."""
    with pytest.raises(StartError) as caught:
        resolve(option={"server": "local"}, PRISTINE_POSTGRES_BIN=str(broken))
    assert caught.value.found == "initdb failed:\nbroken"


def test_what_initdb_says_of_the_password(home: Home) -> None:
    """What initdb quotes of the statement that sets the password is told nobody."""
    programs = binaries()
    cluster = Cluster(home.path / "server", operating_system.server_account())
    cluster.directory.mkdir(mode=0o711)
    with pytest.raises(StartError) as caught:
        cluster.initialise(programs, Login('we ird"', "Sesam-8\nopen"))
    assert caught.value.found.startswith("initdb failed:\n")
    assert "Sesam" not in str(caught.value)
    assert "open" not in str(caught.value).partition("initdb failed")[2]
