"""The end of a container: however those who use it end, nothing is left of it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.errors import NoServerError
from pytest_pristine.servers import keeper
from tests.conftest import Project, finish, wait_until
from tests.engine.conftest import directory, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Home
    from tests.engine.podman import Engine

pytestmark = pytest.mark.engine

# What an image may do that never starts a server.
_DAWDLES = "trap 'exit 0' INT TERM; sleep 600 & wait"
_SLEEPS = """
    from time import sleep

    def test_is_killed(postgres_engine, clean_database):
        open("started", "w").close()
        sleep(600)
"""


def test_a_run_that_is_killed(contained: Project, engine: Engine) -> None:
    """When a run is killed its container goes all the same, after the linger time."""
    contained.write("test_users.py", _SLEEPS)
    victim = contained.start()
    wait_until((contained.path / "started").exists, "the test runs")
    assert len(engine.running()) == 1
    victim.send_signal(signal.SIGKILL)
    assert finish(victim).status == -signal.SIGKILL
    engine.wait_until_empty()


def test_run_and_keeper_are_killed(contained: Project, home: Home, engine: Engine) -> None:
    """When its keeper is killed as well, the next run uses the container that was left, and sees to its end."""
    tests = (contained.path / "test_users.py").read_text()
    contained.write("test_users.py", _SLEEPS)
    victim = contained.start()
    wait_until((contained.path / "started").exists, "the test runs")
    process = keeper.process(directory(home))
    assert process is not None
    process.kill()
    victim.kill()
    finish(victim)
    (left,) = engine.running()
    contained.write("test_users.py", tests)
    assert contained.run(PRISTINE_LINGER="1").status == 0
    assert engine.running() == [left]
    engine.wait_until_empty()


def test_a_container_that_was_removed(contained: Project, engine: Engine) -> None:
    """A container that somebody removed is replaced."""
    assert contained.run(PRISTINE_LINGER="60").status == 0
    (first,) = engine.containers()
    engine.podman("rm", "--force", "--volumes", "--time", "0", first)
    assert contained.run(PRISTINE_LINGER="0").status == 0
    engine.wait_until_empty()


def test_nothing_stays_behind(home: Home, engine: Engine) -> None:
    """When its runs are over neither a keeper, an address nor a lease is left of a container."""
    resolve(home, engine).release()
    engine.wait_until_empty()
    # A keeper gives up being one before it stops its server.
    wait_until(lambda: not (directory(home) / "server.json").exists(), "the address is forgotten")
    assert keeper.process(directory(home)) is None
    assert list((directory(home) / "leases").iterdir()) == []


def test_a_run_that_is_killed_while_the_container_starts(contained: Project, engine: Engine) -> None:
    """When a run is killed before its container answers, that is removed although no run ever held it."""
    with engine.made(_DAWDLES) as image:
        victim = contained.start(PRISTINE_DOCKER_IMAGE=image)
        wait_until(engine.running, "the container runs")
        victim.kill()
        finish(victim)
        engine.wait_until_empty()


def test_a_run_that_is_interrupted_while_the_container_starts(contained: Project, engine: Engine) -> None:
    """Ctrl-C while the container comes up removes it before the run ends."""
    with engine.made(_DAWDLES) as image:
        victim = contained.start(PRISTINE_DOCKER_IMAGE=image)
        wait_until(engine.running, "the container runs")
        victim.send_signal(signal.SIGINT)
        run = finish(victim)
        assert run.status == pytest.ExitCode.INTERRUPTED, run.output
        assert engine.containers() == []


def test_an_engine_that_comes_back(home: Home, engine: Engine, tmp_path: Path) -> None:
    """While the engine is away a run is told so; once it answers again, the container that it kept is used."""
    socket = tmp_path / "docker.sock"
    host = f"unix://{socket}"
    with engine.listening(socket):
        resolve(home, engine, host, PRISTINE_LINGER="600").release()
    (kept,) = engine.running()
    socket.unlink(missing_ok=True)
    with pytest.raises(NoServerError) as caught:
        resolve(home, engine, host)
    assert caught.value.found == (
        f"docker: no container engine answers: DOCKER_HOST, {host}: No such file or directory"
    )
    with engine.listening(socket):
        server = resolve(home, engine, host)
        assert engine.running() == [kept]
        server.release()
        engine.wait_until_empty()
