"""The port of the guide."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from tests.cli.test_up import free_port, pristine
from tests.conftest import Home, Project, Server
from tests.diagnosis.conftest import PASSWORD, doctor


def test_a_free_port(project: Project) -> None:
    """A port that nobody listens on is free for `pristine up`."""
    port = free_port()
    assert doctor(project, "--port", port).tell("port", f"port {port}") == (
        "ok", "free; pristine up would listen there", [],
    )  # fmt: skip


def test_our_own_server(home: Home, project_at: Callable[[Home], Project]) -> None:
    """A server that `pristine up` started is told with its address and process."""
    port = free_port()
    assert pristine(home, "up", "--port", port, "--user", "me", "--password", PASSWORD).status == 0
    level, found, _ = doctor(project_at(home), "--port", port).tell("port", f"port {port}")
    pid = home.postmasters()[0].pid
    assert (level, found) == ("ok", f"pristine up, at postgresql://me:***@127.0.0.1:{port}/me (pid {pid})")


def test_the_server_of_the_guide(home: Home, project: Project) -> None:
    """A Postgres that answers the guide's URL is what the guide means, whoever started it."""
    port = free_port()
    guide = ("--user", "appapp", "--password", "appapp", "--db", "appapp_test")
    assert pristine(home, "up", "--port", port, *guide).status == 0
    url = f"postgresql://appapp:***@localhost:{port}/appapp_test"
    assert doctor(project, "--port", port).tell("port", f"port {port}") == (
        "ok", f"a Postgres answers the guide's default URL: {url}; set TEST_DATABASE_URL to use it", [],
    )  # fmt: skip


def test_another_postgres(project: Project, server: Server) -> None:
    """A Postgres that does not let the guide's user in is warned of, by process."""
    port = server.url.port
    level, found, remedy = doctor(project, "--port", str(port)).tell("port", f"port {port}")
    assert level == "warning"
    assert found.startswith("taken by postgres (pid ")
    assert "a Postgres and not the guide's: a server that rejects the user 'appapp' or the password" in found
    assert remedy[0].startswith("stop postgres (pid ")


def test_something_else(project: Project) -> None:
    """A program that is no Postgres is warned of, by name and process, and waited for no longer than some seconds."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        level, found, remedy = doctor(project, "--port", str(port)).tell("port", f"port {port}")
    assert level == "warning"
    assert f"(pid {os.getpid()}), which is no Postgres that answers" in found
    assert remedy[1] == "or choose another port: pristine up --port …, and name it in TEST_DATABASE_URL"
