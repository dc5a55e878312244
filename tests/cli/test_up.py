"""`pristine up`, `down` and `status`: the guide's `docker run`, without Docker."""

from __future__ import annotations

import importlib.metadata
import io
import os
import re
import socket
import stat
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import psutil
import psycopg
import pytest

from pytest_pristine.cli import main
from pytest_pristine.servers import up
from tests.conftest import MAJOR, VERSION, Home, Run, clean_environment, new_home, wait_until, wheel_binaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Project

# Files that a server makes and removes as it comes up, and the one that is its record.
CHANGING = ("postmaster.pid", "postmaster.opts", "current_logfiles", "pg_internal.init")
PASSWORD = "Sesam-7"  # noqa: S105 - what must not be shown
GUIDE = ("--user", "appapp", "--password", PASSWORD, "--db", "appapp_test")


def pristine(home: Home, *arguments: str, **environ: str) -> Run:
    """Run a command as the installed one does: with words, in an environment, to an exit status."""
    written, told = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, clean_environment(PRISTINE_HOME=str(home.path), **environ), clear=True),
        redirect_stdout(written),
        redirect_stderr(told),
    ):
        try:
            status = main(arguments)
        except SystemExit as ended:
            status = int(str(ended.code))
    # What took long is told on standard error, and is not part of an answer.
    return Run(status, written.getvalue() + (told.getvalue() if status else ""))


def psql(url: str, query: str) -> str:
    """What psql answers at a URL."""
    done = subprocess.run(
        [wheel_binaries().program("psql"), "-XAtq", url, "-c", query],
        capture_output=True,
        text=True,
        check=False,
        env=clean_environment(PGPASSFILE="/nonexistent"),
    )
    return done.stdout.strip() or done.stderr.strip()


def free_port() -> str:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def url(port: str, password: str = PASSWORD, host: str = "localhost") -> str:
    """The guide's URL, on another port."""
    return f"postgresql://appapp:{password}@{host}:{port}/appapp_test"


@pytest.fixture(scope="module")
def up_home() -> Iterator[Home]:
    """A home with a server as the guide has it."""
    with new_home() as home:
        yield home


@pytest.fixture(scope="module")
def port(up_home: Home) -> str:
    """The port of the server that is up, started as the guide starts it."""
    chosen = free_port()
    run = pristine(up_home, "up", "--port", chosen, *GUIDE)
    assert run.status == 0, run.output
    pattern = rf"started: postgresql://appapp:\*\*\*@127\.0\.0\.1:{chosen}/appapp_test \(pid \d+\)\n"
    assert re.fullmatch(pattern, run.output)
    # Ready when it returns: no waiting here.
    assert psql(url(chosen), "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace") == "0"
    return chosen


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_any_client_connects(port: str, host: str) -> None:
    """A plain psql connects with the guide's URL, as a superuser, to the database that it names."""
    query = "SELECT current_user, current_database(), rolsuper FROM pg_roles WHERE rolname = current_user"
    assert psql(url(port, host=host), query) == "appapp|appapp_test|t"


@pytest.mark.parametrize("password", ["wrong", "", PASSWORD.lower()])
def test_another_password_is_rejected(port: str, password: str) -> None:
    """The server asks for the password that it was given, by SCRAM, and takes no other."""
    assert "password" in psql(url(port, password), "SELECT 'let in'")
    assert psql(url(port), "SELECT left(rolpassword, 14) FROM pg_authid WHERE rolname = 'appapp'") == "SCRAM-SHA-256$"


def test_it_listens_on_loopback_alone(up_home: Home, port: str) -> None:
    """Nobody outside this machine reaches the server, and it is not root's."""
    (postmaster,) = up_home.postmasters()
    listening = [tuple(entry.laddr) for entry in postmaster.net_connections() if entry.status == psutil.CONN_LISTEN]
    assert listening == [("127.0.0.1", int(port))]
    assert 0 not in postmaster.uids()


def test_its_files_are_private(up_home: Home, port: str) -> None:
    """The data directory and the file with the password are for their owners alone."""
    directory = up_home.path / f"servers/up-{port}"
    assert stat.S_IMODE((directory / "data").stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "server.json").stat().st_mode) == 0o600
    assert PASSWORD not in (directory / "data/server.log").read_text()
    for process in up_home.processes():
        assert PASSWORD not in " ".join(process.info["cmdline"])


def test_up_again(up_home: Home, port: str) -> None:
    """The same command again finds the server that runs, and starts nothing."""
    before = up_home.postmasters()
    run = pristine(up_home, "up", "--port", port, *GUIDE)
    assert run.status == 0
    assert run.output == (
        f"running already: postgresql://appapp:***@127.0.0.1:{port}/appapp_test (pid {before[0].pid})\n"
    )
    assert up_home.postmasters() == before


@pytest.mark.parametrize(
    "change", [("--user", "other"), ("--password", "Other-7"), ("--db", "other")], ids=lambda c: c[0]
)
def test_up_with_other_names(up_home: Home, port: str, change: tuple[str, str]) -> None:
    """A server that has other names is not passed off as the one that was asked for, and goes on."""
    run = pristine(up_home, "up", "--port", port, *GUIDE, *change)
    assert run.status == 1
    assert f"on port {port}" in run.message()
    assert "found: one that pristine up started with other names or another password" in run.message()
    assert f"to do: pristine down --port {port}" in run.message()
    assert "Other-7" not in run.output
    assert PASSWORD not in run.output
    assert psql(url(port), "SELECT 1") == "1"


def test_status(up_home: Home, port: str) -> None:
    """The status names the home and every server, with its address and state, and no password."""
    run = pristine(up_home, "status")
    assert run.status == 0
    lines = run.output.splitlines()
    assert re.fullmatch(rf"home: {up_home.path}, [\d.]+ MB", lines[0])
    (line,) = (line for line in lines if line.startswith(f"up-{port}: running, held by 0 runs, "))
    assert line.endswith(f" MB, postgresql://appapp:***@127.0.0.1:{port}/appapp_test")
    assert PASSWORD not in run.output


def test_pytest_finds_it(up_home: Home, port: str, project_at: Callable[[Home], Project]) -> None:
    """A run finds the server by itself, leaves it running, and works beside the database that nobody named for it."""
    psql(url(port), "CREATE TABLE IF NOT EXISTS notes ()")
    run = project_at(up_home).run()
    assert run.status == 0, run.output
    assert f"pristine: PostgreSQL {VERSION} (pristine up, port {port})" in run.output
    assert PASSWORD not in run.output
    assert psql(url(port), "SELECT to_regclass('notes')") == "notes"
    assert not list((up_home.path / "servers").glob("embedded-*"))
    listed = pristine(up_home, "status").output
    assert re.search(r"^  pristine_\w+: template of \w+, 0 sessions, [\d.]+ MB, used \d+ s ago$", listed, re.MULTILINE)
    psql(url(port), "DROP TABLE notes")


def test_pytest_takes_its_url(up_home: Home, port: str, project_at: Callable[[Home], Project]) -> None:
    """The guide's way works: the URL of the server in TEST_DATABASE_URL; the status then shows the database as ours."""
    run = project_at(up_home).run("--pristine-claim=appapp_test", TEST_DATABASE_URL=url(port))
    assert run.status == 0, run.output
    assert "(TEST_DATABASE_URL, database appapp_test)" in run.output
    assert psql(url(port), "SELECT string_agg(name, ',') FROM users") == "root"
    listed = pristine(up_home, "status").output
    assert re.search(
        r"^  appapp_test: target of \w+ for run \w+, 0 sessions, [\d.]+ MB, made \d+ s ago$", listed, re.MULTILINE
    ), listed


def test_a_taken_port(up_home: Home) -> None:
    """A port that another program listens on is refused before anything is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = str(taken.getsockname()[1])
        run = pristine(up_home, "up", "--port", number, *GUIDE)
        assert run.status == 1
        assert f"sought: to listen on 127.0.0.1:{number}" in run.message()
        assert "found: the port cannot be had: Address already in use" in run.message()
        assert "to do: choose another --port, or stop the program that listens there" in run.message()
    assert f"up-{number}" not in pristine(up_home, "status").output
    assert not (up_home.path / f"servers/up-{number}").exists()


def start_and_kill(home: Home) -> tuple[str, Path]:
    """A server that has a table and was killed: its port, and its data directory."""
    chosen = free_port()
    assert pristine(home, "up", "--port", chosen, *GUIDE).status == 0
    # A server of ours says that it has committed before it has written, which it may not live to do.
    psql(url(chosen), "SET synchronous_commit = on; CREATE TABLE mine AS SELECT 42 AS answer")
    home.postmasters()[0].kill()
    wait_until(lambda: not home.postmasters(), "the server is gone")
    return chosen, home.path / f"servers/up-{chosen}/data"


def test_a_killed_server(home: Home) -> None:
    """A server that was killed is said to have died, and the same command starts it again with its data."""
    chosen, _ = start_and_kill(home)
    status = pristine(home, "status")
    assert status.status == 0, status.output
    pattern = rf"up-{chosen}: died, [\d.]+ MB, postgresql://appapp:\*\*\*@127\.0\.0\.1:{chosen}/appapp_test\n"
    assert re.search(pattern, status.output)
    again = pristine(home, "up", "--port", chosen, *GUIDE)
    assert again.status == 0, again.output
    assert again.output.startswith("started: ")
    assert psql(url(chosen), "SELECT answer FROM mine") == "42"


def test_a_killed_server_under_other_names(home: Home) -> None:
    """A server that was killed is not replaced by one of other names: what it has is kept, and what to type is told."""
    chosen, data = start_and_kill(home)
    run = pristine(home, "up", "--port", chosen, *GUIDE, "--db", "other")
    assert run.status == 1
    assert "found: one that pristine up started with other names or another password" in run.message()
    assert f"to do: pristine down --port {chosen}" in run.message()
    assert (data / "PG_VERSION").exists()
    unnamed = pristine(home, "up", "--port", chosen, "--user", "appapp", "--db", "appapp_test")
    assert unnamed.status == 0, unnamed.output
    assert psql(url(chosen), "SELECT answer FROM mine") == "42"


def damage(data: Path) -> None:
    """Empty the file without which no server starts."""
    (data / "global/pg_control").write_bytes(b"")


def lose_version(data: Path) -> None:
    """Lose the file that tells the version."""
    (data / "PG_VERSION").unlink()


def pretend_another_version(data: Path) -> None:
    """Have the directory say that another major version made it."""
    (data / "PG_VERSION").write_text("14\n")


def give_away(data: Path) -> None:
    """Have another account own the directory."""
    os.chown(data, 54321, 54321)


def lose_address(data: Path) -> None:
    """Cut the file short that tells user, password and database, as a loss of power may."""
    (data.parent / "server.json").write_bytes(b"")


@pytest.mark.parametrize(
    ("spoil", "found", "remedy"),
    [
        (damage, "pg_ctl failed: ", "to do: or give the data up: pristine down --port {port}"),
        (lose_version, "it holds no database cluster", "to do: or give the data up: pristine down --port {port}"),
        (
            pretend_another_version, f"PostgreSQL 14 made it, not {MAJOR}",
            "to do: start it with its own programs: PRISTINE_POSTGRES_VERSION=14 pristine up --port {port}",
        ),
        pytest.param(
            give_away, "it belongs to the user id 54321, and the server would run as ",
            "to do: give it to the account that runs servers: chown -R ",
            marks=pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away"),
        ),
        (lose_address, "nothing that says whose", "to do: remove "),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_data_that_cannot_be_used(home: Home, spoil: Callable[[Path], None], found: str, remedy: str) -> None:
    """Data of `up` that cannot be used is an error that says why and what to type; nothing of it is removed."""
    chosen, data = start_and_kill(home)
    spoil(data)
    before = {path for path in data.rglob("*") if path.is_file() and path.name not in CHANGING}
    run = pristine(home, "up", "--port", chosen, *GUIDE)
    assert run.status == 1
    assert found in run.message()
    assert remedy.format(port=chosen) in run.message()
    assert PASSWORD not in run.output
    assert before <= {path for path in data.rglob("*") if path.is_file()}
    assert home.processes() == []
    assert pristine(home, "status").status == 0
    if spoil is not lose_address:
        assert pristine(home, "down", "--port", chosen).status == 0
        assert list((home.path / "servers").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_full_disk(home: Home) -> None:
    """On a full disk no server is made and nothing is left of it; one that died of it goes on when there is room."""
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", "size=24m,mode=711", "tmpfs", str(home.path)], check=True)
    try:
        run = pristine(home, "up", "--port", free_port(), *GUIDE)
        assert run.status == 1
        assert "No space left on device" in run.output or "Check free disk space" in run.output
        assert "to do: free some space: pristine prune removes what nobody uses" in run.message()
        assert list((home.path / "servers").iterdir()) == []
        subprocess.run(["/bin/mount", "-o", "remount,size=120m", str(home.path)], check=True)
        chosen, _ = start_and_kill(home)
        with suppress(OSError), (home.path / "filler").open("wb", buffering=0) as filler:
            while filler.write(bytes(2**16)):
                pass
        run = pristine(home, "up", "--port", chosen, *GUIDE)
        assert run.status == 1
        assert "No space left on device" in run.output
        assert "to do: free some space: " in run.message()
        (home.path / "filler").unlink()
        assert pristine(home, "up", "--port", chosen, *GUIDE).status == 0
        assert psql(url(chosen), "SELECT answer FROM mine") == "42"
        assert pristine(home, "down").status == 0
    finally:
        subprocess.run(["/bin/umount", "--lazy", str(home.path)], check=True)


def test_up_that_is_killed(home: Home) -> None:
    """When the command itself is killed while it starts the server, the same command again has it ready."""
    chosen = free_port()
    script = "import sys; from pytest_pristine.cli import main; sys.exit(main(sys.argv[1:]))"
    environ = clean_environment(PRISTINE_HOME=str(home.path))
    command = [sys.executable, "-c", script, "up", "--port", chosen, *GUIDE]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        wait_until((home.path / f"servers/up-{chosen}/data/postmaster.pid").exists, "the server starts")
        process.kill()
    assert f"up-{chosen}: running" in pristine(home, "status").output
    again = pristine(home, "up", "--port", chosen, *GUIDE)
    assert again.status == 0, again.output
    assert psql(url(chosen), "SELECT current_database()") == "appapp_test"
    assert pristine(home, "down").status == 0
    assert home.processes() == []


def test_down(home: Home) -> None:
    """`down` stops the servers, removes their data, and says what it did; with a port it means that one alone."""
    first, second = free_port(), free_port()
    for chosen in (first, second):
        assert pristine(home, "up", "--port", chosen, *GUIDE).status == 0
    run = pristine(home, "down", "--port", "5")
    ports = sorted((first, second))
    assert run.output == f"nothing to stop on port 5; started were those on port {ports[0]}, on port {ports[1]}\n"
    with psycopg.connect(url(first), application_name="somebody"):
        refused = pristine(home, "down", "--port", first)
        assert refused.status == 1
        assert "found: it is in use: somebody (pid " in refused.message()
        assert f"to do: or: pristine down --port {first} --force" in refused.message()
        run = pristine(home, "down", "--port", first, "--force")
    assert (run.status, run.output) == (0, f"stopped: postgresql://appapp:***@127.0.0.1:{first}/appapp_test\n")
    assert len(home.postmasters()) == 1
    assert psql(url(second), "SELECT 1") == "1"
    assert pristine(home, "down").status == 0
    assert not home.processes()
    assert not list((home.path / "servers").iterdir())
    run = pristine(home, "down")
    assert (run.status, run.output) == (0, "nothing to stop\n")
    assert pristine(home, "status").output.splitlines() == [f"home: {home.path}, 0 B", "no servers"]


def test_a_random_password(home: Home, project_at: Callable[[Home], Project]) -> None:
    """Without a password the server has one that nobody was shown; pytest finds it, and `up` again finds the server."""
    chosen = free_port()
    run = pristine(home, "up", "--port", chosen)
    assert run.status == 0, run.output
    assert f"started: postgresql://postgres:***@127.0.0.1:{chosen}/postgres" in run.output
    assert "the password is random; pytest finds this server by itself" in run.output
    (server,) = up.servers(home.path)
    assert len(str(server.url.password)) >= 20
    assert str(server.url.password) not in run.output
    tests = project_at(home).run("--pristine-server=up")
    assert tests.status == 0, tests.output
    assert f"(pristine up, port {chosen})" in tests.output
    again = pristine(home, "up", "--port", chosen)
    assert again.status == 0, again.output
    assert "running already" in again.output


def test_status_of_a_server_that_runs_share(home: Home, project_at: Callable[[Home], Project]) -> None:
    """The status shows the server that runs share, how many hold it, and the templates that it keeps."""
    assert project_at(home).run(PRISTINE_LINGER="60").status == 0
    shown = pristine(home, "status").output
    assert f"{home.server().name}: running, held by 0 runs" in shown
    assert re.search(r"^  pristine_\w+: template of \w+, 0 sessions, [\d.]+ MB, used \d+ s ago$", shown, re.MULTILINE)


def test_status_starts_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """To ask for the status makes no directory and starts no server."""
    place = tmp_path_factory.mktemp("status") / "home"
    run = pristine(Home(place), "status")
    assert (run.status, run.output.splitlines()) == (0, [f"home: {place}, 0 B", "no servers"])
    assert not place.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("start",), "invalid choice: 'start'"),
        (("up", "--port", "0"), "a TCP port is between 1 and 65535"),
        (("up", "--port", "65536"), "a TCP port is between 1 and 65535"),
        (("up", "--port", "many"), "argument --port: a TCP port is between 1 and 65535"),
        (("up", "--user", ""), "argument --user: it cannot be empty"),
        (
            ("up", "--user", 'a"b'),
            "the name of a user cannot have quotation marks, dollar signs, backslashes or control characters",
        ),
        (
            ("up", "--user", "a\nb"),
            "the name of a user cannot have quotation marks, dollar signs, backslashes or control characters",
        ),
        (("up", "--user", "pg_me"), "names that begin with pg_ are the server's own"),
        (("up", "--user", "ü" * 32), "the name of a user has at most 63 bytes"),
    ],
)
def test_a_command_that_is_not_understood(shared_home: Home, arguments: tuple[str, ...], said: str) -> None:
    """What is not understood is refused with exit status 2 and the reason."""
    run = pristine(shared_home, *arguments)
    assert run.status == 2
    assert said in run.output


def test_an_odd_user(home: Home) -> None:
    """A user whose name is of many words is made, with a password of all kinds of characters."""
    port = free_port()
    user, password, database = "wé ird; me", "a'b\\c %@:/?#", "x y"
    run = pristine(home, "up", "--port", port, "--user", user, "--password", password, "--db", database)
    assert run.status == 0, run.output
    with psycopg.connect(host="127.0.0.1", port=port, user=user, password=password, dbname=database) as client:
        assert client.execute("SELECT current_user, current_database()").fetchone() == (user, database)


def test_the_log_of_a_new_server(home: Home) -> None:
    """A server that came up with the default database has logged no error."""
    port = free_port()
    run = pristine(home, "up", "--port", port)
    assert run.status == 0, run.output
    assert "ERROR" not in (home.path / f"servers/up-{port}/data/server.log").read_text()


def test_a_bad_setting(shared_home: Home) -> None:
    """A setting in the environment that cannot be read is an error of the command too."""
    run = pristine(shared_home, "status", PRISTINE_LINGER="soon")
    assert run.status == 1
    assert "sought: a number of seconds for PRISTINE_LINGER" in run.message()
    assert "Traceback" not in run.output


def test_the_command_is_installed(up_home: Home, port: str) -> None:
    """The package installs the command `pristine`, which answers what its parts answer here."""
    command = Path(sys.executable).with_name("pristine")
    environ = clean_environment(PRISTINE_HOME=str(up_home.path))
    done = subprocess.run([command, "status"], capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    assert f"up-{port}: running" in done.stdout
    refused = subprocess.run([command, "up", "--port", port], capture_output=True, text=True, check=False, env=environ)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("sought:  ")


def test_the_version_of_the_command() -> None:
    """The command says its own version."""
    command = [str(Path(sys.executable).parent / "pristine"), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"pristine {importlib.metadata.version('pytest-pristine')}\n"
