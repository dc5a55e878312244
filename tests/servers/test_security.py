"""Who can reach a server of ours: we can, and no other account of the machine."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from pytest_pristine import settings
from pytest_pristine.servers import up
from tests.cli.conftest import command
from tests.conftest import SOURCE, WANTED, Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sqlalchemy.engine import URL

    from tests.conftest import Project
    from tests.servers.conftest import Resolve

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another account")

# An account that every Debian has, and that runs no server.
STRANGER = pwd.getpwnam("daemon")
_CONNECT = """
import sys, psycopg
try:
    psycopg.connect(sys.argv[1], connect_timeout=5)
except psycopg.OperationalError as error:
    print(error)
else:
    print("connected")
"""


def as_stranger(*command: str) -> str:
    """What a command says that another account runs."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, cwd="/",
        user=STRANGER.pw_uid, group=STRANGER.pw_gid, extra_groups=[],
    )  # fmt: skip
    return done.stdout + done.stderr


def connect_as_stranger(address: str) -> str:
    """What another account is told that connects. psycopg lies where only root may read, so root imports it."""
    script = (
        f"import os, psycopg\nos.setgroups([])\nos.setgid({STRANGER.pw_gid})\nos.setuid({STRANGER.pw_uid})\n{_CONNECT}"
    )
    done = subprocess.run([sys.executable, "-c", script, address], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_another_account_cannot_use_the_socket(resolve: Resolve, home: Home) -> None:
    """Another account of the machine cannot connect to the embedded server, nor look into its directories."""
    server = resolve(option={"server": "embedded"})
    try:
        directory = home.server()
        address = f"host={directory}/socket port=5432 user=postgres dbname=postgres"
        psycopg.connect(address).close()
        assert "Permission denied" in connect_as_stranger(address)
        for secret in (directory / "data", directory / "socket", directory / "server.json", directory / "password"):
            assert "Permission denied" in as_stranger("ls" if secret.is_dir() else "cat", str(secret))
    finally:
        server.release()


def test_another_account_needs_the_password(home: Home, free_port: int) -> None:
    """Over TCP another account needs the password, and the server listens on the loopback interface alone."""
    chosen = settings.resolve({"PRISTINE_HOME": str(home.path)})
    running, _ = up.start(chosen, free_port, "postgres", None, "postgres")
    try:
        address = f"host=127.0.0.1 port={free_port} user=postgres dbname=postgres"
        assert "no password supplied" in connect_as_stranger(address)
        assert "password authentication failed" in connect_as_stranger(f"{address} password=postgres")
        assert connect_as_stranger(f"{address} password={running.url.password}") == "connected\n"
        (postmaster,) = home.postmasters()
        listening = [entry.laddr.ip for entry in postmaster.net_connections() if entry.status == psutil.CONN_LISTEN]
        assert listening == ["127.0.0.1"]
    finally:
        up.stop(running)


def test_no_command_line_has_the_password(home: Home, free_port: int) -> None:
    """The password is in no command line, in no log, and in no file that others can read."""
    chosen = settings.resolve({"PRISTINE_HOME": str(home.path)})
    running, _ = up.start(chosen, free_port, "postgres", None, "postgres")
    try:
        password = str(running.url.password)
        for process in psutil.process_iter(["cmdline"]):
            assert password not in " ".join(process.info["cmdline"] or [])
        with_it = {path for path in _files(home.path) if password in path.read_text(errors="replace")}
        assert with_it == {running.directory / "server.json"}
        assert all(path.stat().st_mode & 0o077 == 0 for path in with_it)
        assert password not in repr(running)
        assert json.loads((running.directory / "server.json").read_text())["password"] == password
    finally:
        up.stop(running)


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file() and file.stat().st_size < 2**20]


_TELLS_ALL = """
    def test_tells_all(postgres_server, apply_migrations, postgres_url, postgres_engine, clean_database, request):
        server, url, engine, options = postgres_server, postgres_url, postgres_engine, request.config.option
        print(server, server.server, server.settings, server.server.offer, url, engine, apply_migrations)
        assert [server, url, engine, options, vars(options)] == []
"""


_QUOTES = """
    import warnings

    import pytest

    @pytest.fixture
    def text(postgres_url):
        return postgres_url.render_as_string(hide_password=False)

    class Odd(UserWarning):
        def __init__(self, one, two):
            super().__init__(one + two)

    def test_warns(text):
        warnings.warn(f"connects to {text}")
        warnings.warn(Odd("connects also to ", text))

    def test_expected(text):
        pytest.xfail(f"it is at {text}")

    def test_skipped(text):
        pytest.skip(f"no {text}")

    def test_records(text, record_property, record_xml_attribute, record_testsuite_property, postgres_url):
        record_property("url", text)
        record_property("parts", [postgres_url.password, 7])
        record_property("number", 7)
        record_xml_attribute("at", text)
        record_testsuite_property("url", text)
"""


@pytest.mark.parametrize("arguments", [(), ("-p", "xdist", "-n1")], ids=["alone", "worker"])
def test_no_reason_nor_warning_has_the_password(project: Project, database: URL, arguments: tuple[str, ...]) -> None:
    """Warnings, reasons of xfail and skip, and properties are shown without it: on the terminal and in JUnit's file."""
    project.write("test_users.py", _QUOTES)
    url = database.render_as_string(hide_password=False)
    run = project.run("-rA", "--junitxml=report.xml", "-o", "junit_family=xunit1", *arguments, TEST_DATABASE_URL=url)
    assert "2 passed, 1 skipped, 1 xfailed" in run.output, run.output
    written = (project.path / "report.xml").read_text()
    assert [told for told in (run.output, written) if str(database.password) in told] == []
    shown = database.render_as_string()
    for line in (
        f"UserWarning: connects to {shown}",
        f"Odd: connects also to {shown}",
        f"it is at {shown}",
        f"no {shown}",
    ):
        assert line in run.message(), run.output
    # A worker has no such file to write into.
    assert arguments or f'at="{shown}"' in written
    assert '<property name="number" value="7"' in written
    assert written.count(f'<property name="url" value="{shown}"') == (1 if arguments else 2)


def test_no_report_has_the_password(home: Home, project_at: Callable[[Home], Project]) -> None:
    """No report of pytest, not even with -vv and --showlocals, and no command's answer has the password."""
    # A long path has the server listen on TCP, with a password.
    long = Home(home.path / ("long" * 25))
    project = project_at(long)
    project.write("test_users.py", _TELLS_ALL)
    run = project.run("-vv", "--showlocals", "--log-level=DEBUG", "--junitxml=report.xml", PRISTINE_LINGER="60")
    assert run.status == pytest.ExitCode.TESTS_FAILED
    password = (long.server() / "password").read_text()
    told = [run.output, (project.path / "report.xml").read_text()]
    told += [command(long, name, "--json", cwd=project.path).output for name in ("status", "doctor", "prune")]
    told.append((long.server() / "data/server.log").read_text())
    assert [text for text in told if password in text] == []
    assert "postgresql+psycopg://postgres:***@127.0.0.1:" in run.output
    for process in psutil.process_iter(["cmdline", "environ"]):
        assert password not in str(process.info)


def test_no_error_has_the_password(home: Home, project_at: Callable[[Home], Project]) -> None:
    """A server that dies under a run, which reached it by a password, has no error of ours show it."""
    long = Home(home.path / ("long" * 25))
    project = project_at(long)
    project.write("test_users.py", """
        import os
        import signal
        import socket
        from pathlib import Path
        from time import sleep

        taken = socket.socket()

        def test_kills(postgres_server, clean_database):
            (pid_file,) = Path(os.environ["PRISTINE_HOME"]).glob("servers/*/data/postmaster.pid")
            os.kill(int(pid_file.read_text().split()[0]), signal.SIGKILL)
            # It cannot be started again.
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            for _ in range(600):
                try:
                    taken.bind(("127.0.0.1", postgres_server.url.port))
                    break
                except OSError:
                    sleep(0.1)
            taken.listen()

        def test_comes_next(clean_database):
            pass
    """)  # fmt: skip
    run = project.run("-vv", "--showlocals", PRISTINE_LINGER="60")
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert "ERROR test_users.py::test_comes_next - pytest-pristine: pg_ctl failed: " in run.output
    assert (long.server() / "password").read_text() not in run.output


def test_no_traceback_has_the_password(home: Home, project_at: Callable[[Home], Project]) -> None:
    """The error of a connection that the test itself makes, with the arguments of the driver, is shown without it."""
    long = Home(home.path / ("long" * 25))
    project = project_at(long)
    project.write("test_users.py", """
        import psycopg
        import pytest
        from sqlalchemy import create_engine

        def test_engine(postgres_url):
            create_engine(postgres_url.set(database="not_there")).connect()

        @pytest.mark.xfail
        def test_expected(postgres_url):
            print(f"it is {postgres_url.password}")
            create_engine(postgres_url.set(database="not_there")).connect()

        def test_passes(postgres_url):
            print(f"it is {postgres_url.password}")

        def test_driver(postgres_url):
            arguments = postgres_url.translate_connect_args(username="user", database="dbname")
            print(arguments)
            psycopg.connect(**arguments | {"dbname": "not_there"})
    """)  # fmt: skip
    options = ("-vv", "-rA", "--showlocals", "--tb=long", "--xfail-tb", "--junitxml=report.xml")
    run = project.run(*options, "-o", "junit_logging=all", PRISTINE_LINGER="60")
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert run.output.count("it is ***") >= 2
    assert run.output.count('database "not_there" does not exist') >= 2
    password = (long.server() / "password").read_text()
    assert [told for told in (run.output, (project.path / "report.xml").read_text()) if password in told] == []
    assert "'password': '***'" in run.output


def test_servers_are_not_given_our_environment(resolve: Resolve, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that runs a server for root, and can read the server's environment, finds no secret of ours in it."""
    monkeypatch.setenv("APP_SECRET", "not-for-others")
    server = resolve(option={"server": SOURCE}, **WANTED)
    try:
        (postmaster,) = home.postmasters()
        assert "APP_SECRET" not in postmaster.environ()
        assert "PATH" in postmaster.environ()
    finally:
        server.release()
