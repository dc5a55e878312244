"""The source `docker`, on a real engine: its container, its end after any kind of death, and what goes wrong."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from pytest_pristine import settings
from pytest_pristine.errors import NoServerError, StartError
from pytest_pristine.servers import keeper, resolver
from tests.conftest import Project, finish, wait_until

if TYPE_CHECKING:
    from pytest_pristine.servers.resolver import Server
    from tests.conftest import Home
    from tests.engine.podman import Engine

pytestmark = pytest.mark.engine

_SLEEPS = """
    from time import sleep

    def test_is_killed(postgres_engine, clean_database):
        open("started", "w").close()
        sleep(600)
"""


def resolve(home: Home, engine: Engine, **environ: str) -> Server:
    """Look for a server as a run does that wants a container."""
    named = {"PRISTINE_HOME": str(home.path), "PRISTINE_SERVER": "docker", "PRISTINE_LINGER": "0", **environ}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine.host)
        return resolver.resolve(settings.resolve(named))


def directory(home: Home) -> Path:
    """The directory of the one container."""
    (found,) = (home.path / "servers").glob("docker-*")
    return found


def inspect(engine: Engine) -> dict[str, object]:
    """What the engine says of the one container."""
    (name,) = engine.running()
    (found,) = json.loads(engine.podman("inspect", name).stdout)
    return dict(found)


def gone(engine: Engine) -> None:
    """Wait until no container is left."""
    wait_until(lambda: not engine.containers(), "the container is removed")


def test_a_run_in_a_container(contained: Project, engine: Engine) -> None:
    """The tests pass in a container of the guide's image, which is removed with all it held when nobody needs it."""
    run = contained.run()
    assert run.status == 0, run.output
    assert "pristine: PostgreSQL 15.18 (docker, postgres:15-alpine)" in run.output
    gone(engine)
    assert engine.podman("volume", "ls", "--quiet").stdout == ""


def test_the_next_run_finds_it(contained: Project, engine: Engine) -> None:
    """Within the linger time the next run uses the same container and its template."""
    for _ in range(2):
        assert contained.run(PRISTINE_LINGER="60").status == 0
    (name,) = engine.containers()
    assert "starting PostgreSQL" in engine.podman("logs", name).stderr
    engine.podman("rm", "--force", "--volumes", "--time", "0", name)


def test_what_the_container_is(home: Home, engine: Engine) -> None:
    """It listens on the loopback interface with SCRAM, keeps its data in memory, syncs nothing, and bears our label."""
    server = resolve(home, engine)
    try:
        found = json.dumps(inspect(engine))
        assert '"HostIp": "127.0.0.1"' in found
        assert f':{directory(home)}"' in found
        with psycopg.connect(server.url.set(drivername="postgresql").render_as_string(hide_password=False)) as client:
            assert client.execute("SELECT current_setting('fsync'), rolpassword LIKE 'SCRAM-SHA-256$%' FROM pg_authid "
                                  "WHERE rolname = current_user").fetchone() == ("off", True)  # fmt: skip
            (place,) = client.execute("SHOW data_directory").fetchone() or ("",)
        (name,) = engine.running()
        assert engine.podman("exec", name, "stat", "--file-system", "--format=%T", str(place)).stdout == "tmpfs\n"
    finally:
        server.release()
    gone(engine)


def test_the_password_is_not_shown(home: Home, engine: Engine) -> None:
    """No process on the machine has the password in its command line, and its file is ours alone to read."""
    server = resolve(home, engine)
    try:
        password = str(server.url.password)
        assert len(password) > 20
        lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
        assert [line for line in lines if password in line] == []
        assert (directory(home) / "server.json").stat().st_mode & 0o077 == 0
        assert password not in repr(server)
    finally:
        server.release()
    gone(engine)


def test_a_run_that_is_killed(contained: Project, engine: Engine) -> None:
    """When a run is killed its container goes all the same, after the linger time."""
    contained.write("test_users.py", _SLEEPS)
    victim = contained.start()
    wait_until((contained.path / "started").exists, "the test runs")
    assert len(engine.running()) == 1
    victim.send_signal(signal.SIGKILL)
    assert finish(victim).status == -signal.SIGKILL
    gone(engine)


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
    gone(engine)


def test_a_container_that_was_removed(contained: Project, engine: Engine) -> None:
    """A container that somebody removed is replaced."""
    assert contained.run(PRISTINE_LINGER="60").status == 0
    (first,) = engine.containers()
    engine.podman("rm", "--force", "--volumes", "--time", "0", first)
    assert contained.run(PRISTINE_LINGER="0").status == 0
    gone(engine)


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
    gone(engine)


def test_the_port_that_is_asked_for(home: Home, engine: Engine, free_port: int) -> None:
    """A port that is free is the one the container listens on."""
    server = resolve(home, engine, PRISTINE_DOCKER_PORT=str(free_port))
    try:
        assert (server.url.host, server.url.port) == ("127.0.0.1", free_port)
    finally:
        server.release()
    gone(engine)


def test_a_container_that_does_not_come_up(home: Home, engine: Engine) -> None:
    """A container that ends at once is told with the end of its log, and is removed."""
    engine.podman("tag", engine.image, "localhost/broken:1")
    context = home.path / "broken"
    context.mkdir()
    (context / "Containerfile").write_text(
        'FROM localhost/broken:1\nENTRYPOINT ["sh", "-c", "echo no luck with $POSTGRES_PASSWORD; exit 3"]\n'
    )
    engine.podman("build", "--isolation", "chroot", "--tag", "localhost/broken:2", str(context))
    with pytest.raises(StartError) as caught:
        resolve(home, engine, PRISTINE_DOCKER_IMAGE="localhost/broken:2")
    assert caught.value.found == "the container ended with status 3. Its log ends:\nno luck with ***"
    assert engine.containers() == []
    engine.podman("rmi", "localhost/broken:1", "localhost/broken:2")


def test_the_version_names_the_image(home: Home, engine: Engine) -> None:
    """The image is the guide's, of the version that is asked for."""
    with pytest.raises(StartError, match="a container of the image postgres:17-alpine"):
        resolve(home, engine, PRISTINE_POSTGRES_VERSION="17")


def test_an_image_of_another_version(home: Home, engine: Engine) -> None:
    """An image whose server is of another version than asked for is given back, and the reason told."""
    with pytest.raises(NoServerError) as caught:
        resolve(home, engine, PRISTINE_POSTGRES_VERSION="16", PRISTINE_DOCKER_IMAGE=engine.image)
    assert caught.value.found == (
        "docker: PostgreSQL 15 is not version 16 (PRISTINE_POSTGRES_VERSION) (docker, postgres:15-alpine)"
    )
    gone(engine)


def test_a_docker_context(home: Home, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without DOCKER_HOST the engine is the one of the active docker context."""
    meta = tmp_path / "contexts/meta/" / hashlib.sha256(b"elsewhere").hexdigest()
    meta.mkdir(parents=True)
    endpoint = {"Name": "elsewhere", "Metadata": {}, "Endpoints": {"docker": {"Host": engine.host}}}
    (meta / "meta.json").write_text(json.dumps(endpoint))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "elsewhere"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    named = {"PRISTINE_HOME": str(home.path), "PRISTINE_SERVER": "docker", "PRISTINE_LINGER": "0"}
    server = resolver.resolve(settings.resolve(named))
    server.release()
    gone(engine)


def test_workers_share_it(contained: Project, engine: Engine) -> None:
    """Workers of pytest-xdist work in one container."""
    contained.write("test_more.py", (contained.path / "test_users.py").read_text())
    run = contained.run("-p", "xdist", "-n2", "-v")
    assert run.status == 0, run.output
    gone(engine)


def test_auto_comes_to_docker_last(home: Home, engine: Engine) -> None:
    """Where nothing else has what the project needs, the container is tried, and says what it lacks itself."""
    with pytest.raises(NoServerError) as caught:
        resolve(home, engine, PRISTINE_SERVER="auto", PRISTINE_EXTENSIONS="not_an_extension")
    assert "docker: PostgreSQL 15 there lacks the extension not_an_extension" in caught.value.found
    gone(engine)


def test_nothing_stays_behind(home: Home, engine: Engine) -> None:
    """When its runs are over neither a keeper, an address nor a lease is left of a container."""
    resolve(home, engine).release()
    gone(engine)
    wait_until(lambda: keeper.process(directory(home)) is None, "the keeper ends")
    assert not (directory(home) / "server.json").exists()
    assert list((directory(home) / "leases").iterdir()) == []
