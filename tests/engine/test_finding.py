"""Which container engine is found, and what is said when none can be had."""

from __future__ import annotations

import grp
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_pristine import operating_system
from pytest_pristine.servers import engine as engines

if TYPE_CHECKING:
    from tests.conftest import Project
    from tests.engine.podman import Engine

pytestmark = pytest.mark.engine

# Docker's own socket, which is found before Podman's.
_DOCKERS = Path("/var/run/docker.sock")
_NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be an account without rights for a while. Being asked for by root, everything is imported already."""
    groups = os.getgroups()
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, 0)
    os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every account may enter."""
    with tempfile.TemporaryDirectory() as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def silent(open_directory: Path) -> Iterator[Path]:
    """A socket that is there, and behind it nobody."""
    path = open_directory / "docker.sock"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        yield path


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The configuration of Docker's client, in which the context `elsewhere` is active; gives the context's file."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(operating_system, "container_engines", list)
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "elsewhere"}))
    meta = tmp_path / "contexts/meta" / hashlib.sha256(b"elsewhere").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    return meta


def write_context(path: Path, **endpoints: object) -> None:
    """Write the file of a context, as Docker's client does."""
    path.write_text(json.dumps({"Name": "elsewhere", "Metadata": {}, "Endpoints": endpoints}))


def test_podmans_own_socket(contained: Project, engine: Engine, tmp_path: Path) -> None:
    """Without DOCKER_HOST a run finds Podman where it listens for the account by itself."""
    if _DOCKERS.exists():
        pytest.skip(f"{_DOCKERS} would be found first")
    (tmp_path / "podman").mkdir()
    (tmp_path / "podman/podman.sock").symlink_to(engine.host.removeprefix("unix://"))
    run = contained.run(DOCKER_HOST="", DOCKER_CONFIG=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path))
    assert run.status == 0, run.output
    assert "(docker, postgres:15-alpine)" in run.output
    engine.wait_until_empty()


def test_nothing_listens(contained: Project, free_port: int) -> None:
    """An engine that DOCKER_HOST names and that does not answer ends the run, which says where it was sought."""
    run = contained.run(DOCKER_HOST=f"tcp://127.0.0.1:{free_port}")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    said = run.message()
    assert f"docker: no container engine answers: DOCKER_HOST, tcp://127.0.0.1:{free_port}: Connection refused" in said
    assert "to do: docker: systemctl start docker, or for Podman: systemctl --user start podman.socket" in said


def test_no_socket(tmp_path: Path) -> None:
    """A socket that is not there is told from one that does not answer."""
    host = f"unix://{tmp_path}/docker.sock"
    assert engines.find({"DOCKER_HOST": host}) == f"DOCKER_HOST, {host}: No such file or directory"


def test_a_socket_without_anybody(silent: Path) -> None:
    """A socket that an engine left behind refuses."""
    host = f"unix://{silent}"
    assert engines.find({"DOCKER_HOST": host}) == f"DOCKER_HOST, {host}: Connection refused"


def test_a_socket_of_a_group(silent: Path) -> None:
    """Who is not in the group that may use the socket is told which that is, and how to join it."""
    host, group = f"unix://{silent}", next(entry for entry in grp.getgrall() if entry.gr_gid != 0)
    os.chown(silent, 0, group.gr_gid)
    silent.chmod(0o660)
    assert isinstance(engines.find({"DOCKER_HOST": host}), str)
    with as_nobody():
        found = engines.find({"DOCKER_HOST": host})
    assert found == (
        f"DOCKER_HOST, {host}: this account may not use the socket, which the group {group.gr_name} may: "
        f"sudo usermod -aG {group.gr_name} $USER, then log in again"
    )


def test_a_socket_of_root(silent: Path) -> None:
    """Nobody is told to join the group of root to use a socket that only root may use."""
    host = f"unix://{silent}"
    silent.chmod(0o660)
    assert isinstance(engines.find({"DOCKER_HOST": host}), str)
    with as_nobody():
        assert engines.find({"DOCKER_HOST": host}) == f"DOCKER_HOST, {host}: this account may not use the socket"


def test_a_socket_in_a_closed_directory(silent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that this account may not enter, as Podman's own is, has no engine for it."""
    monkeypatch.setattr(operating_system, "container_engines", lambda: [f"unix://{silent}"])
    monkeypatch.setenv("DOCKER_CONFIG", str(silent.parent))
    assert engines.find({}) == f"by default, unix://{silent}: Connection refused"
    silent.parent.chmod(0o700)
    with as_nobody():
        assert engines.find({}) == "no docker context, and no socket of Docker or Podman"


def test_a_docker_context(configuration: Path, contained: Project, engine: Engine) -> None:
    """Without DOCKER_HOST the engine is the one of the active docker context."""
    write_context(configuration, docker={"Host": engine.host})
    found = engines.find({})
    assert isinstance(found, engines.Engine)
    assert str(found) == f"the docker context elsewhere, {engine.host}"
    run = contained.run(DOCKER_HOST="", DOCKER_CONFIG=os.environ["DOCKER_CONFIG"])
    assert run.status == 0, run.output
    engine.wait_until_empty()


def test_a_context_that_the_environment_names(configuration: Path, engine: Engine) -> None:
    """DOCKER_CONTEXT overrides the active context, and DOCKER_HOST overrides both."""
    write_context(configuration, docker={"Host": engine.host})
    assert engines.find({"DOCKER_CONTEXT": "gone"}) == "the docker context gone: there is no such context"
    found = engines.find({"DOCKER_CONTEXT": "gone", "DOCKER_HOST": engine.host})
    assert isinstance(found, engines.Engine)
    assert str(found) == f"DOCKER_HOST, {engine.host}"


def test_a_context_that_names_no_engine(configuration: Path) -> None:
    """A context for something else than an engine is told, and no other engine is taken for its own."""
    write_context(configuration, kubernetes={"Host": "https://127.0.0.1:9"})
    assert engines.find({}) == "the docker context elsewhere: it names no engine"


def test_a_context_that_cannot_be_read(configuration: Path) -> None:
    """The damaged file of a context is a reason like others, and no end of the search."""
    configuration.write_text("{")
    found = engines.find({})
    assert isinstance(found, str)
    assert found.startswith("the docker context elsewhere: Detected corrupted meta file for context elsewhere")
