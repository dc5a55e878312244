"""Leases: files that are locked as long as somebody needs a server."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from filelock import FileLock

from pytest_pristine.servers import leases

if TYPE_CHECKING:
    from pathlib import Path

_HOLDER = """
import sys
from pathlib import Path
from pytest_pristine.servers import leases
lease = leases.take(Path(sys.argv[1]), 7.5)
print("held", flush=True)
input()
"""


def test_a_lease_ends_with_its_process(tmp_path: Path) -> None:
    """A lease counts while its process lives, and not a moment longer, however the process ended."""
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert leases.held(tmp_path) == 1
        holder.kill()
        holder.wait()
    assert leases.held(tmp_path) == 0
    assert leases.linger(tmp_path) == 7.5


def test_leases_are_counted(tmp_path: Path) -> None:
    """Every run has a lease of its own, and gives back its own alone."""
    first, second = leases.take(tmp_path, 1), leases.take(tmp_path, 2)
    assert leases.held(tmp_path) == 2
    first.release()
    assert leases.held(tmp_path) == 1
    second.release()
    assert leases.held(tmp_path) == 0


def test_the_last_run_says_how_long_to_linger(tmp_path: Path) -> None:
    """The linger time is that of the run that came last, also when it has ended."""
    assert leases.linger(tmp_path) == 0
    leases.take(tmp_path, 60).release()
    leases.take(tmp_path, 0).release()
    assert leases.linger(tmp_path) == 0
    leases.take(tmp_path, 60).release()
    assert leases.linger(tmp_path) == 60


def test_files_do_not_pile_up(tmp_path: Path) -> None:
    """The files of leases that are over are removed when the next is taken; those that are held stay."""
    held = leases.take(tmp_path, 1)
    for _ in range(5):
        leases.take(tmp_path, 1).release()
    assert len(list((tmp_path / "leases").iterdir())) == 2
    leases.sweep(tmp_path)
    assert len(list((tmp_path / "leases").iterdir())) == 1
    assert leases.held(tmp_path) == 1
    held.release()


def test_a_server_without_leases(tmp_path: Path) -> None:
    """Where nobody ever took a lease, none is held."""
    assert leases.held(tmp_path) == 0


_LOOKER = """
import sys
from pathlib import Path
from filelock import FileLock
from pytest_pristine.servers import leases
server = Path(sys.argv[1])
lock = FileLock(server / "lock", poll_interval=0.001)
print("looking", flush=True)
while True:
    with lock:
        leases.held(server)
        leases.linger(server)
"""


def test_a_keeper_that_looks_disturbs_nobody(tmp_path: Path) -> None:
    """Under the server's lock a keeper looks at the leases while runs take theirs, and neither fails for it."""
    command = [sys.executable, "-c", _LOOKER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as keeper:
        try:
            assert keeper.stdout is not None
            assert keeper.stdout.readline() == "looking\n"
            for _ in range(500):
                with FileLock(tmp_path / "lock", poll_interval=0.001):
                    lease = leases.take(tmp_path, 1)
                lease.release()
            assert keeper.poll() is None, keeper.stdout.read()
        finally:
            keeper.kill()
