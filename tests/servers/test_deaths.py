"""Deaths in the middle of something: what a run says of them, and that nothing is left of whoever died."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from pytest_pristine.servers.cluster import Login
from tests.cli.conftest import command
from tests.conftest import SOURCE, Home, binaries, finish, lay_out, new_cluster, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Project
    from tests.servers.conftest import Use

# The system's list of shared memory segments of the kind that every server has one of.
_SEGMENTS = Path("/proc/sysvipc/shm")
needs_list = pytest.mark.skipif(not _SEGMENTS.exists(), reason="the system does not list shared memory in a file")
_WAITS = """
    from pathlib import Path
    from time import sleep
    from sqlalchemy import text

    INSERT = text("INSERT INTO users (name) VALUES ('ada')")

    def test_waits(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(INSERT)
        Path("ready").touch()
        while not Path("go").exists():
            sleep(0.02)
        with postgres_engine.begin() as connection:
            connection.execute(text("UPDATE users SET name = 'eve' WHERE name = 'ada'"))

    def test_comes_next(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(INSERT)
"""
_COMPUTES = "SELECT max(md5(a::text || b::text)) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"


def shared_memory(postmaster: psutil.Process) -> set[str]:
    """What a server has of the system's memory that outlives it: segments by id, and files."""
    lines = [line.split() for line in _SEGMENTS.read_text().splitlines()[1:]]
    segments = {f"segment {line[1]}" for line in lines if int(line[4]) == postmaster.pid}
    return segments | {each.path for each in postmaster.memory_maps() if each.path.startswith("/dev/shm/PostgreSQL.")}  # noqa: S108


def is_left(thing: str) -> bool:
    """Whether it is still there."""
    if thing.startswith("segment "):
        ids = [line.split()[1] for line in _SEGMENTS.read_text().splitlines()[1:]]
        return thing.removeprefix("segment ") in ids
    return Path(thing).exists()


def client(home: Home) -> psycopg.Connection[tuple[object, ...]]:
    """A client of the server that runs share."""
    return psycopg.connect(host=str(home.server() / "socket"), user="postgres", dbname="postgres")


def computes(process: psutil.Process) -> bool:
    """Whether a process still does something; one that ended may be kept by a system that reaps nothing."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def in_the_middle(project: Project, **environ: str) -> subprocess.Popen[str]:
    """A run whose first test has written and waits."""
    project.write("test_waits.py", _WAITS)
    running = project.start("test_waits.py", **environ)
    wait_until((project.path / "ready").exists, "the test runs")
    return running


def test_two_projects_at_once(shared_home: Home, tmp_path: Path) -> None:
    """Two projects of different histories run on one server at the same time, and each has its own schema and rows."""
    first, second = (lay_out(tmp_path / name, shared_home) for name in ("first", "second"))
    revision = second.path / "migrations/versions/0001_users.py"
    revision.write_text(revision.read_text().replace("id serial", "number serial").replace("'root'", "'admin'"))
    looks = """
        from pathlib import Path
        from time import sleep
        from sqlalchemy import text

        def test_looks(postgres_engine, clean_database):
            Path("ready").touch()
            while not Path("../{other}/ready").exists():
                sleep(0.02)
            with postgres_engine.begin() as connection:
                connection.execute(text("INSERT INTO users (name) VALUES ('{other}')"))
            with postgres_engine.begin() as connection:
                rows = connection.execute(text("SELECT {column}, name FROM users ORDER BY 1")).all()
                assert [tuple(row) for row in rows] == [(1, "{seed}"), (2, "{other}")]
    """
    first.write("test_users.py", looks.format(other="second", column="id", seed="root"))
    second.write("test_users.py", looks.format(other="first", column="number", seed="admin"))
    runs = [finish(started) for started in [first.start(), second.start()]]
    assert [run.status for run in runs] == [0, 0], "".join(run.output for run in runs)
    assert len(shared_home.postmasters()) == len(shared_home.keepers()) == 1


@needs_list
def test_the_server_is_killed_in_the_middle(home: Home, project_at: Callable[[Home], Project]) -> None:
    """When its server is killed, a run fails the test that had it and starts it again; no memory is left."""
    project = project_at(home)
    running = in_the_middle(project)
    (postmaster,) = home.postmasters()
    left = shared_memory(postmaster)
    assert any(thing.startswith("segment ") for thing in left)
    postmaster.kill()
    (project.path / "go").touch()
    run = finish(running)
    assert run.status == pytest.ExitCode.TESTS_FAILED
    # Its sessions say why they end, to whom still hears it.
    assert re.search(
        r"OperationalError: \(psycopg\.\S*\) .*(unexpected postmaster exit|server closed the connection|reset by peer)",
        run.output,
    ), run.output
    assert "1 failed, 1 passed" in run.output
    assert "test_waits changed more than rows: there is no connection to be had" in run.message()
    assert "INTERNALERROR" not in run.output
    again = project.run("test_users.py", PRISTINE_LINGER="0")
    assert again.status == 0, again.output
    wait_until(lambda: not home.processes(), "server and keeper end")
    assert [thing for thing in left if is_left(thing)] == []


def test_the_server_is_told_to_stop(home: Home, project_at: Callable[[Home], Project]) -> None:
    """A server that is told to stop when its clients have gone is started again for the run that it serves."""
    project = project_at(home)
    running = in_the_middle(project)
    (postmaster,) = home.postmasters()
    postmaster.terminate()
    wait_until(lambda: not postmaster.is_running() or not computes(postmaster), "it stops")
    (project.path / "go").touch()
    run = finish(running)
    assert "1 failed, 1 passed" in run.output


_KILLS = """
    import os
    import time
    from pathlib import Path

    import psutil
    import pytest

    @pytest.fixture(scope="session")
    def apply_migrations(apply_migrations):
        (path,) = Path(os.environ["PRISTINE_HOME"]).glob("servers/*/data/postmaster.pid")
        postmaster = psutil.Process(int(path.read_text().split()[0]))
        postmaster.kill()
        while postmaster.is_running() and postmaster.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        return apply_migrations
"""


def test_the_server_is_killed_before_the_first_test(home: Home, project_at: Callable[[Home], Project]) -> None:
    """A server that is killed when the database was made and no test has begun costs no test."""
    project = project_at(home)
    project.write("conftest.py", _KILLS)
    run = project.run(PRISTINE_LINGER="0")
    assert run.status == 0, run.output


def has_pending(process: psutil.Process, number: signal.Signals) -> bool:
    """Whether a process was sent a signal that it has not taken."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    return bool(int(re.findall(r"^ShdPnd:\s*(\w+)", status, re.MULTILINE)[0], 16) >> (number - 1) & 1)


@needs_list
def test_the_server_is_killed_while_it_is_stopped() -> None:
    """A server that is killed right after it was told to stop is cleared up after, and can be started again."""
    with new_cluster() as (cluster, server), ThreadPoolExecutor(1) as pool:
        postmaster = cluster.postmaster()
        assert postmaster is not None
        left = shared_memory(postmaster)
        postmaster.suspend()
        stopping = pool.submit(cluster.halt)
        wait_until(lambda: has_pending(postmaster, signal.SIGINT), "it is told to stop")
        postmaster.kill()
        stopping.result()
        assert [thing for thing in left if is_left(thing)] == []
        login = Login(str(server.url.username), str(server.url.password))
        assert cluster.start(binaries(), login, server.url.port) == server.url


@needs_list
def test_a_session_that_outlives_the_server(home: Home, use: Use) -> None:
    """A session that computes on when its server was killed is ended by the next run, which keeps the templates."""
    use(home, PRISTINE_LINGER="60")
    (postmaster,) = home.postmasters()
    left = shared_memory(postmaster)

    def compute() -> None:
        with suppress(psycopg.OperationalError), client(home) as connection:
            connection.execute(_COMPUTES)

    computing = threading.Thread(target=compute)
    computing.start()
    sessions: list[psutil.Process] = []

    def has_started() -> bool:
        # Others of its children may end meanwhile.
        sessions[:] = [
            process for process in psutil.process_iter(["ppid", "cmdline"])
            if process.info["ppid"] == postmaster.pid and "SELECT" in " ".join(process.info["cmdline"] or ())
        ]  # fmt: skip
        return bool(sessions)

    wait_until(has_started, "the session computes")
    made = (home.server() / "data").stat().st_ino
    postmaster.kill()
    wait_until(lambda: not home.postmasters(), "the server is gone")
    (session,) = sessions
    assert computes(session)
    use(home, PRISTINE_LINGER="0")
    assert not computes(session)
    computing.join()
    assert (home.server() / "data").stat().st_ino == made
    assert [thing for thing in left if is_left(thing)] == []


@needs_list
def test_a_server_of_up_that_died(home: Home, free_port: int) -> None:
    """`down` leaves no shared memory of a server that was killed, although it is never started again."""
    assert command(home, "up", "--port", str(free_port)).status == 0
    (postmaster,) = home.postmasters()
    left = shared_memory(postmaster)
    postmaster.kill()
    wait_until(lambda: not home.postmasters(), "the server is gone")
    assert command(home, "down").status == 0
    assert [thing for thing in left if is_left(thing)] == []
    assert list((home.path / "servers").iterdir()) == []


def test_everybody_is_killed(home: Home, project_at: Callable[[Home], Project]) -> None:
    """When a run and the keeper are killed together, the next run takes the server over, and nothing is left then."""
    project = project_at(home)
    running = in_the_middle(project, PRISTINE_LINGER="60")
    (keeper,) = home.keepers()
    for process in (keeper, running):
        process.kill()
    assert finish(running).status == -signal.SIGKILL
    again = project.run("test_users.py", PRISTINE_LINGER="0")
    assert again.status == 0, again.output
    wait_until(lambda: not home.processes(), "server and keeper end")
    log = (home.server() / "data/server.log").read_text()
    assert (log.count("starting PostgreSQL"), log.count("database system is shut down")) == (1, 1)


def test_prune_when_everybody_was_killed(home: Home, project_at: Callable[[Home], Project]) -> None:
    """When a run and the keeper were killed together and no run comes, `prune` stops the server and keeps its data."""
    project = project_at(home)
    running = in_the_middle(project, PRISTINE_LINGER="60")
    assert "nobody keeps" not in command(home, "prune").output
    (keeper,) = home.keepers()
    for process in (keeper, running):
        process.kill()
    finish(running)
    wait_until(lambda: not home.keepers(), "the keeper is gone")
    line = f"the server {home.server().name}, which nobody keeps, but not its data, 0 B"
    assert f"would remove: {line}" in command(home, "prune", "--dry-run").output
    assert len(home.postmasters()) == 1
    assert f"removed: {line}" in command(home, "prune").output
    assert home.processes() == []
    status = json.loads(command(home, "status", "--json").output)["servers"]
    assert [(server["name"], server["state"]) for server in status] == [(home.server().name, "stopped")]
    assert command(home, "prune").output == "nothing to remove\n"
    assert project.run("test_users.py").status == 0


@pytest.mark.parametrize("moment", ["making/data/base", "data/postmaster.pid", "keeper.pid"])
def test_a_run_that_is_killed_while_it_starts_the_server(
    home: Home, project_at: Callable[[Home], Project], moment: str
) -> None:
    """A run killed while it makes or starts its server leaves no process, and nothing that keeps the next from it."""
    project = project_at(home)
    running = project.start(PRISTINE_LINGER="0")
    wait_until(lambda: list(home.path.glob(f"servers/{SOURCE}-*/{moment}")), f"there is {moment}")
    running.kill()
    finish(running)
    wait_until(lambda: not home.processes(), "everything ends")
    assert not (home.server() / "making").exists()
    again = project.run(PRISTINE_LINGER="0")
    assert again.status == 0, again.output


def test_a_run_that_is_killed_beside_a_slow_initdb(home: Home, project_at: Callable[[Home], Project]) -> None:
    """The initdb of a run that was killed, which would go on making files, is ended before they are removed."""
    running = project_at(home).start(PRISTINE_LINGER="0")
    wait_until(lambda: list(home.path.glob(f"servers/{SOURCE}-*/making/data/base")), "initdb works")
    (initdb,) = [process for process in home.processes("--pwfile") if process.info["name"] == "initdb"]
    initdb.suspend()
    running.kill()
    finish(running)
    wait_until(lambda: not home.processes(), "everything ends")
    assert not (home.server() / "making").exists()


def test_nothing_is_left_on_disk(home: Home, project_at: Callable[[Home], Project], tmp_path: Path) -> None:
    """After runs, in the directory for temporary files nothing is left, and in the home only what is named as cache."""
    project = project_at(home)
    # pytest keeps the directories of its own tmp_path.
    temporary = Path(tempfile.mkdtemp(dir=home.path))
    temporary.chmod(0o1777)
    project.write("test_fails.py", "def test_fails(postgres_engine, clean_database): assert False\n")
    for _ in range(2):
        run = project.run(PRISTINE_LINGER="0", TMPDIR=str(temporary), HOME=str(tmp_path / "nobody"))
        assert run.status == pytest.ExitCode.TESTS_FAILED, run.output
        wait_until(lambda: not home.processes(), "server and keeper end")
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "nobody").exists()
    left = {path.name for path in home.server().iterdir()}
    assert left <= {"data", "keeper.lock", "keeper.log", "leases", "linger", "lock", "password", "programs"}
    assert list((home.server() / "leases").iterdir()) == []
    assert {path.name for path in home.path.iterdir()} <= {"servers", "binaries", temporary.name}
    data = {path.name for path in (home.server() / "data").iterdir() if path.name.startswith((".", "core"))}
    assert data == set()
    status = json.loads(command(home, "status", "--json").output)
    assert status["bytes"] >= sum(server["bytes"] for server in status["servers"]) > 2**20
    assert command(home, "prune", "--max-size", "0").status == 0
    assert list((home.path / "servers").iterdir()) == []
