"""The engine that the tests here share, and the projects that use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_pristine import operating_system, settings
from pytest_pristine.servers import resolver
from pytest_pristine.servers.server import Server
from tests.conftest import Home, Project, lay_out
from tests.engine import podman
from tests.engine.podman import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A real engine with the guide's image. Without one the tests fail: they prove nothing else."""
    reason = podman.missing()
    if reason is not None:
        pytest.fail(f"no container engine can be had\n{reason}", pytrace=False)
    with podman.serve() as serving:
        yield serving


@pytest.fixture(autouse=True)
def no_container_is_left(engine: Engine) -> Iterator[None]:
    """Every test ends what it started."""
    yield
    left = engine.containers()
    if left:
        engine.podman("rm", "--force", "--all", "--volumes", "--time", "0")
    assert left == []


@pytest.fixture
def free_port() -> int:
    """A TCP port on which nothing listens."""
    return operating_system.free_port("127.0.0.1")


@pytest.fixture
def contained(tmp_path: Path, home: Home, engine: Engine) -> Project:
    """A project whose runs work in a container, which goes when they end."""
    project = lay_out(tmp_path, home)
    environ = {"DOCKER_HOST": engine.host, "PRISTINE_SERVER": "docker", "PRISTINE_LINGER": "0"}
    return Project(project.path, {**project.environ, **environ})


def resolve(home: Home, engine: Engine, host: str | None = None, **environ: str) -> Server:
    """Look for a server as a run does that wants a container, of the engine that listens at `host` if it is given."""
    named = {"PRISTINE_HOME": str(home.path), "PRISTINE_SERVER": "docker", "PRISTINE_LINGER": "0", **environ}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", host or engine.host)
        return resolver.resolve(settings.resolve(named))


def directory(home: Home) -> Path:
    """The directory of the one container."""
    (found,) = (home.path / "servers").glob("docker-*")
    return found
