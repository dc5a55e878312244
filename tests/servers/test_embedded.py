"""The server that runs start and share: its life, its files, and what becomes of it after any kind of death."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from pytest_pristine.errors import SettingError
from pytest_pristine.postgres import connections, databases, marks
from pytest_pristine.servers.cluster import Cluster
from tests.conftest import CALLED, finish, new_home, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_pristine.postgres.connections import Connection
    from tests.conftest import Home, Project
    from tests.servers.conftest import Resolve, Use

_SLEEPS = """
    from time import sleep
    from sqlalchemy import text

    def test_is_killed(postgres_engine, clean_database, tmp_path_factory):
        with postgres_engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES ('lost')"))
        with open("killed-in", "w") as file:
            file.write(postgres_engine.url.database)
        sleep(600)
"""


@pytest.fixture(scope="module")
def worn_home() -> Iterator[Home]:
    """A home whose server is treated badly; every test must cope with what others left of it."""
    with new_home() as home:
        yield home


@pytest.fixture
def worn(worn_home: Home, project_at: Callable[[Home], Project]) -> Project:
    """A project that uses the home that is treated badly."""
    return project_at(worn_home)


def passes(project: Project, **environ: str) -> None:
    """Run the project's tests, and see that they pass on the embedded server."""
    run = project.run(**environ)
    assert run.status == 0, run.output
    assert f"pristine: {CALLED}" in run.output


def starts(home: Home) -> int:
    """How often the server was started, as its log has it."""
    return (home.server() / "data/server.log").read_text().count("starting PostgreSQL")


def client(home: Home, **other: str) -> psycopg.Connection[tuple[object, ...]]:
    """A client of the embedded server that knows it by its files alone."""
    state = json.loads((home.server() / "server.json").read_text())
    arguments = {
        "host": state["host"] or state["query"]["host"], "port": state["port"] or 5432, "user": state["username"],
        "dbname": "postgres", "password": state["password"],
    }  # fmt: skip
    return psycopg.connect(**{**arguments, **other}, autocommit=True)


def clones(home: Home) -> set[str]:
    """The databases of runs that the server has."""
    with client(home) as connection:
        rows = connection.execute(
            "SELECT datname FROM pg_database WHERE shobj_description(oid, 'pg_database') LIKE '%\"kind\": \"clone\"%'"
        )
        return {str(name) for (name,) in rows}


def locked_leases(home: Home) -> int:
    """How many lease files somebody holds a lock on, as the operating system has it."""
    return sum(is_locked(path) for path in (home.server() / "leases").iterdir())


def is_locked(path: Path) -> bool:
    """Whether somebody holds a lock on the file."""
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def is_shut(path: Path) -> bool:
    """Whether only the owner of a directory can enter it."""
    return stat.S_IMODE(path.stat().st_mode) == 0o700


def test_two_runs_on_an_empty_home(home: Home, project_at: Callable[[Home], Project]) -> None:
    """Two runs that start at the same moment where nothing is yet both pass, on one server with one keeper."""
    project = project_at(home)
    runs = [finish(started) for started in [project.start(), project.start()]]
    assert [run.status for run in runs] == [0, 0], "".join(run.output for run in runs)
    assert starts(home) == 1
    assert len(home.postmasters()) == len(home.keepers()) == 1
    assert clones(home) == set()


def test_files_of_the_server(shared_home: Home, use: Use) -> None:
    """The server listens on a socket that only its account reaches, and on no port; it is not root's."""
    use(shared_home)
    directory = shared_home.server()
    assert is_shut(directory / "data")
    assert is_shut(directory / "socket")
    (postmaster,) = shared_home.postmasters()
    assert not [entry for entry in postmaster.net_connections("inet") if entry.status == psutil.CONN_LISTEN]
    wanted = os.geteuid() or (directory / "data").stat().st_uid
    assert wanted != 0
    assert set(postmaster.uids()) == {wanted}
    assert (directory / "socket").stat().st_uid == wanted


def test_a_run_gives_its_lease_back(shared_home: Home, project: Project) -> None:
    """While tests run there is a lease and a database of theirs; afterwards there is neither, and the server stays."""
    project.write(
        "test_users.py",
        """
        import os, time

        def test_waits(postgres_url):
            open("ready", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.02)
        """,
    )
    running = project.start()
    wait_until((project.path / "ready").exists, "the test runs")
    assert locked_leases(shared_home) == 1
    assert len(clones(shared_home)) == 1
    (project.path / "go").touch()
    run = finish(running)
    assert run.status == 0, run.output
    assert (locked_leases(shared_home), clones(shared_home)) == (0, set())
    assert len(shared_home.postmasters()) == 1


def test_killed_in_the_middle(worn_home: Home, worn: Project) -> None:
    """A run killed with SIGKILL leaves a database and no lease; the next run passes and drops it."""
    tests = (worn.path / "test_users.py").read_text()
    worn.write("test_users.py", _SLEEPS)
    victim = worn.start()
    wait_until((worn.path / "killed-in").exists, "the test runs")
    victim.send_signal(signal.SIGKILL)
    assert finish(victim).status == -signal.SIGKILL
    orphan = (worn.path / "killed-in").read_text()
    assert orphan in clones(worn_home)
    assert locked_leases(worn_home) == 0
    worn.write("test_users.py", tests)
    passes(worn)
    assert orphan not in clones(worn_home)


def test_nothing_is_left_after_linger(worn_home: Home, use: Use) -> None:
    """Once nobody has needed the server for the linger time, neither it nor its keeper runs; its data stays."""
    use(worn_home)
    directory = worn_home.server()
    # It may tell of a server that another test killed.
    (directory / "keeper.log").write_text("")
    use(worn_home, PRISTINE_LINGER="1")
    wait_until(lambda: not worn_home.processes(), "server and keeper end")
    assert not (directory / "server.json").exists()
    assert not (directory / "data/postmaster.pid").exists()
    assert "database system is shut down" in (directory / "data/server.log").read_text()
    assert (directory / "keeper.log").read_text() == ""
    use(worn_home)


def test_ci_does_not_linger(worn_home: Home, use: Use) -> None:
    """In a CI job nothing is left when the run is over."""
    use(worn_home, CI="true")
    wait_until(lambda: not worn_home.processes(), "server and keeper end")


def test_a_killed_keeper_is_replaced(worn_home: Home, use: Use) -> None:
    """The run after the death of a keeper starts another one, for the same server."""
    use(worn_home)
    wait_until(lambda: len(worn_home.keepers()) == 1, "there is a keeper")
    (keeper,) = worn_home.keepers()
    started = starts(worn_home)
    keeper.kill()
    # A process loses its command line before it loses its locks.
    wait_until(lambda: not is_locked(worn_home.server() / "keeper.lock"), "the keeper is gone")
    use(worn_home)
    wait_until(lambda: len(worn_home.keepers()) == 1, "there is another keeper")
    assert worn_home.keepers() != [keeper]
    assert starts(worn_home) == started


def test_a_killed_server_is_started_again(worn_home: Home, use: Use) -> None:
    """The run after the death of the server starts it again, with the templates it had, and one keeper still."""
    use(worn_home)
    started = starts(worn_home)
    (postmaster,) = worn_home.postmasters()
    postmaster.kill()
    wait_until(lambda: not worn_home.postmasters(), "the server is gone")
    assert (worn_home.server() / "data/postmaster.pid").exists()
    use(worn_home)
    assert starts(worn_home) == started + 1
    wait_until(lambda: len(worn_home.keepers()) == 1, "there is one keeper")


def test_a_port_for_other_servers(worn_home: Home, use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    """PGPORT, set for another server, does not lead away from ours."""
    monkeypatch.setenv("PGPORT", "5433")
    use(worn_home)


def test_the_keeper_makes_the_next_database(worn_home: Home, worn: Project) -> None:
    """After a run the keeper copies its template, and the next run works in that copy."""
    assert worn.run(PRISTINE_LINGER="60").status == 0
    url = Cluster(worn_home.server(), None).address()
    assert url is not None
    with connections.connect(url, "test") as connection:
        wait_until(lambda: spares_in(connection) != [], "there is a spare")
        (first,) = spares_in(connection)
        others = "SELECT FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        wait_until(lambda: connection.execute(others).fetchone() is None, "the keeper is done with it")
        assert worn.run(PRISTINE_LINGER="60").status == 0
        wait_until(lambda: spares_in(connection) not in ([], [first]), "there is another spare")


def spares_in(connection: Connection) -> list[str]:
    """The names of the spares on the server."""
    return [database.name for database in databases.ours(connection) if database.mark.kind == marks.SPARE]


@pytest.mark.parametrize("whose", ["nobody's", "another program's"])
def test_a_stale_pid_file(worn_home: Home, use: Use, whose: str) -> None:
    """A pid file of a server that is gone does not pass for a server, also when its number is in use again."""
    use(worn_home, PRISTINE_LINGER="0")
    wait_until(lambda: not worn_home.processes(), "server and keeper end")
    data = worn_home.server() / "data"
    pid = 2**22 - 7 if whose == "nobody's" else os.getpid()
    stale = data / "postmaster.pid"
    stale.write_text(f"{pid}\n{data}\n1\n5432\n{data}\n\n\nready\n")
    os.chown(stale, data.stat().st_uid, data.stat().st_gid)
    long_ago = psutil.Process().create_time() - 3600
    os.utime(stale, (long_ago, long_ago))
    use(worn_home)
    assert len(worn_home.postmasters()) == 1


def test_the_keeper_survives_the_terminal(home: Home, project_at: Callable[[Home], Project]) -> None:
    """Server and keeper have no part in the terminal of the run: closing it hangs up nobody else."""
    project = project_at(home)
    project.write("test_users.py", "def test_server(postgres_server): pass\n")
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(project.path)
        os.execve(sys.executable, [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest"], dict(project.environ))  # noqa: S606 - on purpose without a shell
    shown = b""
    with suppress(OSError):  # how the end of a terminal is told
        while piece := os.read(terminal, 4096):
            shown += piece
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, shown
    (keeper,) = home.keepers()
    (postmaster,) = home.postmasters()
    for process in (keeper, postmaster):
        assert process.is_running()
        assert process.terminal() is None
    assert os.getsid(keeper.pid) == keeper.pid


def test_a_long_home_means_tcp(home: Home, use: Use) -> None:
    """Where the path is too long for a socket, the server listens on the loopback interface and asks for a password."""
    long = home.path / ("long" * 25)
    use(home, PRISTINE_HOME=str(long))
    (directory,) = (long / "servers").iterdir()
    state = json.loads((directory / "server.json").read_text())
    assert state["host"] == "127.0.0.1"
    (postmaster,) = home.postmasters()
    listening = [entry.laddr for entry in postmaster.net_connections() if entry.status == psutil.CONN_LISTEN]
    assert [tuple(address) for address in listening] == [("127.0.0.1", state["port"])]
    named = {"host": "127.0.0.1", "port": state["port"], "user": state["username"], "dbname": "postgres"}
    with psycopg.connect(**named, password=state["password"]) as connection:
        (stored,) = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolcanlogin").fetchone() or ("",)
        assert str(stored).startswith("SCRAM-SHA-256$")
    for wrong in ("", "wrong", state["password"][:-1]):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(**named, password=wrong, passfile="/nonexistent")
    assert re.fullmatch(r"[\w-]{32}", state["password"])


def test_a_home_that_cannot_be_made(resolve: Resolve, tmp_path: Path) -> None:
    """Where the home cannot be made, the setting that named it is named, and what to set instead."""
    (tmp_path / "a-file").touch()
    with pytest.raises(SettingError) as caught:
        resolve(PRISTINE_HOME=str(tmp_path / "a-file/home"))
    assert caught.value.sought == f"a directory for servers in {tmp_path}/a-file/home (PRISTINE_HOME)"
    assert caught.value.remedy == ("set PRISTINE_HOME to a directory that can be written",)


def test_a_zombie_is_no_server(tmp_path: Path) -> None:
    """A server that was killed and that nobody has waited for (pytest as process 1 of a container) does not run."""
    cluster = Cluster(tmp_path, None)
    cluster.data.mkdir()
    with subprocess.Popen([sys.executable, "-c", "input()", str(cluster.data)], stdin=subprocess.PIPE) as process:
        (cluster.data / "postmaster.pid").write_text(f"{process.pid}\n")
        assert cluster.postmaster() == psutil.Process(process.pid)
        process.kill()
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "it is a zombie")
        assert cluster.postmaster() is None
