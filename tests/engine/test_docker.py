"""The source `docker`, on a real engine: what its container is, and what may keep it from coming up."""

from __future__ import annotations

import json
import re
import socket
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from pytest_pristine import settings
from pytest_pristine.errors import NoServerError, StartError
from pytest_pristine.servers import needs
from pytest_pristine.servers.docker import Docker
from pytest_pristine.servers.sources import Found
from tests.engine.conftest import directory, resolve

if TYPE_CHECKING:
    from pytest_pristine.servers.server import Server
    from tests.conftest import Home, Project
    from tests.engine.podman import Engine

pytestmark = pytest.mark.engine


def inspect(engine: Engine) -> dict[str, dict[str, Any]]:
    """What the engine says of the one container."""
    (name,) = engine.running()
    (found,) = json.loads(engine.podman("inspect", name).stdout)
    return dict(found)


def connect(server: Server) -> psycopg.Connection[tuple[object, ...]]:
    """A client that owes nothing to the product."""
    return psycopg.connect(server.url.set(drivername="postgresql").render_as_string(hide_password=False))


def test_a_run_in_a_container(contained: Project, engine: Engine) -> None:
    """The tests pass in a container of the guide's image, which is removed with all it held when nobody needs it."""
    run = contained.run()
    assert run.status == 0, run.output
    assert re.search(r"^pristine: PostgreSQL 15\.\d+ \(docker, postgres:15-alpine\); ", run.output, re.MULTILINE)
    engine.wait_until_empty()
    assert engine.podman("volume", "ls", "--quiet").stdout == ""


def test_the_next_run_finds_it(contained: Project, engine: Engine) -> None:
    """Within the linger time the next run uses the same container and its template."""
    for _ in range(2):
        assert contained.run(PRISTINE_LINGER="60").status == 0
    (name,) = engine.containers()
    assert "starting PostgreSQL" in engine.podman("logs", name).stderr
    engine.podman("rm", "--force", "--volumes", "--time", "0", name)


def test_it_is_asked_for_on_the_command_line(contained: Project, engine: Engine) -> None:
    """`--pristine-server=docker` is all it takes, also where another source would be tried first."""
    run = contained.run("--pristine-server=docker", PRISTINE_SERVER="auto")
    assert run.status == 0, run.output
    assert "(docker, postgres:15-alpine)" in run.output
    engine.wait_until_empty()


def test_what_the_container_is(home: Home, engine: Engine) -> None:
    """It listens on the loopback interface alone, with SCRAM; its label says whose lease it lives by."""
    server = resolve(home, engine)
    try:
        found = inspect(engine)
        assert found["HostConfig"]["PortBindings"]["5432/tcp"] == [
            {"HostIp": "127.0.0.1", "HostPort": str(server.url.port)}
        ]
        assert found["Config"]["Labels"]["pytest-pristine.lease"] == f"{socket.gethostname()}:{directory(home)}"
        with connect(server) as client:
            stored = client.execute("SELECT rolpassword FROM pg_authid WHERE rolname = current_user").fetchone()
        assert str(stored).startswith("('SCRAM-SHA-256$")
    finally:
        server.release()
    engine.wait_until_empty()


def test_its_data_are_in_memory(home: Home, engine: Engine) -> None:
    """Data directory and WAL lie in a tmpfs, and the server waits for no disk: nothing of it outlives a test run."""
    server = resolve(home, engine)
    try:
        with connect(server) as client:
            asked = "SELECT current_setting('data_directory'), pg_ls_dir('pg_wal') LIMIT 1"
            (place, _) = client.execute(asked).fetchone() or ("", "")
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                assert client.execute("SELECT current_setting(%s)", [name]).fetchone() == ("off",), name
        (name,) = engine.running()
        kinds = engine.podman("exec", name, "stat", "-fLc%T", str(place), f"{place}/base", f"{place}/pg_wal").stdout
        assert kinds.split() == ["tmpfs"] * 3
    finally:
        server.release()
    engine.wait_until_empty()


def test_the_password_is_not_shown(home: Home, engine: Engine) -> None:
    """The password is in no process's command line, in no log, and in one file, which is ours alone to read."""
    server = resolve(home, engine)
    try:
        password = str(server.url.password)
        assert len(password) > 20
        lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
        assert [line for line in lines if password in line] == []
        files = [path for path in home.path.rglob("*") if path.is_file() and password.encode() in path.read_bytes()]
        assert files == [directory(home) / "server.json"]
        assert files[0].stat().st_mode & 0o077 == 0
        (name,) = engine.running()
        logs = engine.podman("logs", name)
        assert password not in logs.stdout + logs.stderr
        assert password not in repr(server)
    finally:
        server.release()
    engine.wait_until_empty()


def test_an_image_that_cannot_be_pulled(home: Home, engine: Engine) -> None:
    """An image that is not there and cannot be pulled is named, with what the engine says and what to type."""
    with pytest.raises(StartError) as caught:
        resolve(home, engine, PRISTINE_DOCKER_IMAGE="127.0.0.1:9/no/such-image:1")
    assert caught.value.sought.startswith("a Postgres in a container of the image 127.0.0.1:9/no/such-image:1 (")
    assert caught.value.found.startswith("no such image, and it cannot be pulled: ")
    assert "connection refused" in caught.value.found
    assert caught.value.remedy == (
        "docker pull 127.0.0.1:9/no/such-image:1",
        "or name an image that can be had: pristine_docker_image",
    )


def test_a_port_that_is_taken(home: Home, engine: Engine) -> None:
    """A port that something listens on is refused before a container is made."""
    first = resolve(home, engine)
    port = str(first.url.port)
    try:
        with pytest.raises(StartError) as caught:
            resolve(home, engine, PRISTINE_DOCKER_PORT=port)
        assert caught.value.found == f"127.0.0.1:{port} cannot be had: Address already in use"
        assert f"stop what listens on port {port}" in caught.value.remedy[0]
        assert len(engine.containers()) == 1
    finally:
        first.release()
    engine.wait_until_empty()


def test_the_port_that_is_asked_for(home: Home, engine: Engine, free_port: int) -> None:
    """A port that is free is the one the container listens on."""
    server = resolve(home, engine, PRISTINE_DOCKER_PORT=str(free_port))
    try:
        assert (server.url.host, server.url.port) == ("127.0.0.1", free_port)
    finally:
        server.release()
    engine.wait_until_empty()


def test_a_container_that_does_not_come_up(home: Home, engine: Engine) -> None:
    """A container that ends at once is told with the end of its log, and is removed."""
    with engine.made("echo no luck with $POSTGRES_PASSWORD; exit 3") as image, pytest.raises(StartError) as caught:
        resolve(home, engine, PRISTINE_DOCKER_IMAGE=image)
    assert caught.value.found == "the container ended with status 3. Its log ends:\nno luck with ***"
    assert engine.containers() == []


def test_the_version_names_the_image(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is the guide's, of the version that is asked for."""
    monkeypatch.setenv("DOCKER_HOST", engine.host)
    wanted = settings.resolve({"PRISTINE_POSTGRES_VERSION": "17"})
    found = Docker().look(wanted, needs.read(wanted))
    assert isinstance(found, Found)
    assert found.what == f"the image postgres:17-alpine (DOCKER_HOST, {engine.host})"


def test_an_image_of_another_version(home: Home, engine: Engine) -> None:
    """An image whose server is of another version than asked for is given back, and the reason told."""
    with pytest.raises(NoServerError) as caught:
        resolve(home, engine, PRISTINE_POSTGRES_VERSION="16", PRISTINE_DOCKER_IMAGE=engine.image)
    assert caught.value.found == (
        "docker: PostgreSQL 15 is not version 16 (PRISTINE_POSTGRES_VERSION) (docker, postgres:15-alpine)"
    )
    engine.wait_until_empty()


def test_workers_share_it(contained: Project, engine: Engine) -> None:
    """Workers of pytest-xdist work in one container."""
    contained.write("test_more.py", (contained.path / "test_users.py").read_text())
    run = contained.run("-p", "xdist", "-n2", "-v", PRISTINE_LINGER="60")
    assert run.status == 0, run.output
    (name,) = engine.containers()
    engine.podman("rm", "--force", "--volumes", "--time", "0", name)


def test_auto_comes_to_docker_last(home: Home, engine: Engine) -> None:
    """Where nothing else has what the project needs, the container is tried, and says what it lacks itself."""
    with pytest.raises(NoServerError) as caught:
        resolve(home, engine, PRISTINE_SERVER="auto", PRISTINE_EXTENSIONS="not_an_extension")
    assert "docker: PostgreSQL 15 there lacks the extension not_an_extension" in caught.value.found
    engine.wait_until_empty()
