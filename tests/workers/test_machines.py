"""Machines beside each other on one server: network namespaces with addresses and names of their own."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from psycopg import sql

from pytest_pristine import operating_system
from pytest_pristine.postgres import connections, databases, locks, marks
from pytest_pristine.servers import cluster as clusters
from pytest_pristine.servers.cluster import Cluster, Login
from tests.conftest import (
    MAJOR,
    SUPERUSER,
    Home,
    Project,
    Server,
    binaries,
    clean_environment,
    finish,
    new_home,
    wait_until,
)
from tests.workers.conftest import form

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make machines"),
    pytest.mark.skipif(MAJOR != 18, reason="what a cut does is the system's matter: it takes a minute, once is enough"),
]

# A network that is reserved for tests of networks (RFC 2544).
_NETWORK = "198.18"


def ip(*arguments: str) -> None:
    """Call `ip`."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)  # noqa: S607 - in PATH
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


@dataclass(frozen=True)
class Machine:
    """A network namespace with a name and an address.

    Attributes:
        name: Its name, and its host name.
        cable: The other end of its only cable.
        python: A program that runs Python in it.
    """

    name: str
    cable: str
    python: str

    def cut(self) -> None:
        """Pull the cable out: what is sent is lost, and nobody is told."""
        ip("link", "set", self.cable, "down")

    def heal(self) -> None:
        """Put it back."""
        ip("link", "set", self.cable, "up")


@dataclass(frozen=True)
class Network:
    """Machines, and the server that they share.

    Attributes:
        machines: The machines.
        server: The server, which is on this machine.
    """

    machines: tuple[Machine, ...]
    server: Server


@contextmanager
def new_machine(bridge: str, name: str, address: str, directory: Path) -> Iterator[Machine]:
    """A machine whose cable is in a bridge."""
    cable = f"{name}0"
    ip("netns", "add", name)
    try:
        ip("link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name)
        ip("link", "set", cable, "master", bridge, "up")
        ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip("-n", name, "link", "set", device, "up")
        python = directory / f"python-{name}"
        python.write_text(
            "#!/bin/sh\n"
            f"exec unshare --uts sh -c 'hostname {name}; exec ip netns exec {name} \"$@\"' sh"
            f' {sys.executable} "$@"\n'
        )
        python.chmod(0o755)
        yield Machine(name, cable, str(python))
    finally:
        ip("netns", "delete", name)


@contextmanager
def new_server_at(address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server that other machines can reach."""
    with new_home() as home:
        cluster = Cluster(home.path / "server", operating_system.server_account())
        cluster.directory.mkdir(mode=0o711)
        login = Login(SUPERUSER, secrets.token_hex(8))
        cluster.initialise(binaries(), login)
        with (cluster.data / "pg_hba.conf").open("a", encoding="utf-8") as file:
            file.write(f"host all all {_NETWORK}.0.0/16 scram-sha-256\n")
        monkeypatch.setattr(clusters, "LOOPBACK", address)
        yield Server(cluster.start(binaries(), login, operating_system.free_port(address)), MAJOR)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    """Two machines and a server."""
    token, place = secrets.token_hex(3), f"{_NETWORK}.{secrets.randbelow(250) + 1}"
    bridge = f"pp{token}"
    with ExitStack() as stack:
        ip("link", "add", bridge, "type", "bridge")
        stack.callback(ip, "link", "delete", bridge)
        ip("address", "add", f"{place}.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        machines = tuple(
            stack.enter_context(new_machine(bridge, f"pp{token}{word}", f"{place}.{number}", tmp_path))
            for number, word in enumerate(("a", "b"), start=2)
        )
        yield Network(machines, stack.enter_context(new_server_at(f"{place}.1", monkeypatch)))


@pytest.fixture
def target(network: Network) -> str:
    """A database that every machine names; its URL."""
    with network.server.connect() as connection:
        connection.execute(sql.SQL("CREATE DATABASE shop_test"))
    return network.server.url.set(database="shop_test").render_as_string(hide_password=False)


def on(machine: Machine, path: Path, home: Home) -> Project:
    """A checkout of the project on a machine."""
    crew = form(path / machine.name / "shop", home)
    return Project(crew.project.path, crew.project.environ, machine.python)


def living(server: Server) -> dict[str, str]:
    """The databases of runs that hold their leases, each with its owner."""
    with connections.connect(server.url, "test") as connection:
        return {
            each.name: each.mark.owner
            for each in databases.ours(connection)
            if each.mark.kind in (marks.CLONE, marks.TARGET)
            and each.mark.run
            and locks.is_held(connection, locks.lease(each.mark.run))
        }


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a process and all that it has started."""
    for each in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        each.kill()
    process.communicate()


def test_two_machines(network: Network, target: str, tmp_path: Path, shared_home: Home) -> None:
    """Two machines that name one database work beside each other, with one template, each in what is its own."""
    projects = [on(machine, tmp_path, shared_home) for machine in network.machines]
    log = tmp_path / "migrated"
    for project in projects:
        first = project.path / "migrations/versions/0001_users.py"
        first.write_text(first.read_text() + f"    open({str(log)!r}, 'a').write('x')\n")
    processes = [project.start("-q", "-p", "xdist", "-n2", TEST_DATABASE_URL=target) for project in projects]
    wait_until(
        lambda: len(living(network.server)) == 4 or any(process.poll() is not None for process in processes),
        "both have their databases",
    )
    owners = {owner.partition("@")[2].partition(",")[0] for owner in living(network.server).values()}
    for run in map(finish, processes):
        assert run.status == 0, run.output
    assert owners == {machine.name for machine in network.machines}
    assert log.read_text() == "x"
    assert living(network.server) == {}


def test_a_machine_that_dies(network: Network, target: str, tmp_path: Path, shared_home: Home) -> None:
    """What a dead machine had is kept while it could live, and then is removed by `pristine prune`."""
    project = on(network.machines[0], tmp_path, shared_home)
    project.write("test_long.py", "import time\ndef test_long(note): time.sleep(600)\n")
    process = project.start("-q", "-p", "xdist", "-n2", "test_long.py", "test_one.py", TEST_DATABASE_URL=target)
    wait_until((project.path / "seen").exists, "the first test runs")
    network.machines[0].cut()
    kill(process)
    left = [name for name in living(network.server) if name != "shop_test"]
    assert (len(left), pruned(target, shared_home)) == (1, (0, []))
    wait_until(lambda: not living(network.server), "the server notices", 90)
    status, removed = pruned(target, shared_home)
    assert (status, sorted(removed)) == (0, sorted(left))


def pruned(target: str, home: Home, *options: str) -> tuple[int, list[str]]:
    """Call `pristine prune`; gives its status and the clones that it names."""
    command = [str(Path(sys.executable).with_name("pristine")), "prune", *options]
    environ = clean_environment(PRISTINE_HOME=str(home.path), TEST_DATABASE_URL=target)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    lines = [line.split() for line in done.stdout.splitlines() if "the clone " in line]
    return done.returncode, [words[words.index("clone") + 1] for words in lines]


def test_a_cut_that_heals(network: Network, target: str, tmp_path: Path, shared_home: Home) -> None:
    """A machine that was cut off while another took the database over does not come back into it, and says so."""
    first, second = (on(machine, tmp_path, shared_home) for machine in network.machines)
    for project in (first, second):
        project.write(
            "test_a.py",
            """
            import time
            from pathlib import Path

            from sqlalchemy import text

            def test_waits(note, postgres_engine):
                end = time.monotonic() + 120
                while not Path("go").exists() and time.monotonic() < end:
                    time.sleep(0.1)
                with postgres_engine.connect() as connection:
                    assert connection.execute(text("SELECT string_agg(name, ' ' ORDER BY id) FROM users")).scalar() \\
                        == "root ada"
            """,
        )
    cut = first.start("-q", TEST_DATABASE_URL=target)
    wait_until((first.path / "seen").exists, "the first machine's test runs")
    network.machines[0].cut()
    present = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop_test'"
    wait_until(lambda: network.server.ask(present) == "0" and not living(network.server), "the server notices", 90)
    other = second.start("-q", TEST_DATABASE_URL=target)
    wait_until((second.path / "seen").exists, "the second machine's test runs")
    assert list(living(network.server)) == ["shop_test"]
    network.machines[0].heal()
    (first.path / "go").touch()
    healed = finish(cut)
    (second.path / "go").touch()
    run = finish(other)
    assert run.status == 0, run.output
    assert healed.status == pytest.ExitCode.TESTS_FAILED
    assert "has taken it over" in healed.output
