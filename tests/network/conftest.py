"""A server with TLS and several kinds of authentication, and PgBouncer in front of it: real ones, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine import operating_system
from pytest_pristine.servers.cluster import LOOPBACK
from tests.conftest import (
    DEBIAN,
    DEBIANS_MAJOR,
    MAJOR,
    Run,
    Server,
    new_cluster,
    new_database,
    new_role,
    wait_until,
)
from tests.network import certificates
from tests.network.certificates import Certificates
from tests.servers.conftest import free_port, resolve  # noqa: F401 - fixtures

ACCOUNT = operating_system.server_account()
CERTIFIED = "certified"
MD5, TRUSTED = "md5_role", "trusted_role"
# Who may come in how, in this order. The rest needs a password by SCRAM.
_HBA = f"""\
local   all all          trust
hostssl   all {CERTIFIED} all cert
hostnossl all {CERTIFIED} all reject
host    all {MD5}        all md5
host    all {TRUSTED}    all trust
host    all all          all scram-sha-256
"""
# Names of directories that a URL, a connection string, a shell or a format string may take for something else.
ODD = (
    "a b",
    "100%",
    "%41",
    "why?",
    "no#1",
    "at@home",
    "it's",
    'so"so',
    "back\\slash",
    "größe",
    "a:b",
    "a=b&c;d",
    "$HOME",
    """z %41?#@'\"ö:&=\\$""",
)


# A project's tests: one writes, one changes the schema, whereupon the database is made anew, and one writes again.
LIFE = """
    import pytest
    from sqlalchemy import text

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_life(postgres_engine, clean_database, number):
        with postgres_engine.begin() as connection:
            assert connection.execute(text("SELECT string_agg(name, ',') FROM users")).scalar_one() == "root"
            connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
            if number == 2:
                connection.execute(text("ALTER TABLE users ADD COLUMN age int"))
"""


def passed(run: Run) -> bool:
    """Whether the tests of `LIFE` passed, in the very database that was named."""
    return run.status == 0 and "3 passed" in run.output and " instead" not in run.output


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run these tests on Debian's PostgreSQL alone, the one that speaks TLS.

    The wheels are built without OpenSSL, and what is in between is the same whatever version is behind it: in the runs
    for the other versions the tests would say the same again.
    """
    if MAJOR == DEBIANS_MAJOR:
        return
    here = Path(__file__).parent
    others = [item for item in items if here not in item.path.parents]
    if len(others) < len(items):
        config.hook.pytest_deselected(items=[item for item in items if here in item.path.parents])
        items[:] = others


@dataclass(frozen=True)
class Backend:
    """A server with TLS.

    Attributes:
        server: It, over TCP, as superuser.
        certificates: Its own, and others.
        sockets: Where the directories of its sockets are, named as `ODD` says.
    """

    server: Server
    certificates: Certificates
    sockets: Path

    @contextmanager
    def configured(self, **settings: str) -> Iterator[None]:
        """Give it other settings for a while."""
        before = {name: self.server.ask(f"SHOW {name}") for name in settings}
        try:
            self._configure(settings)
            yield
        finally:
            self._configure(before)

    def _configure(self, settings: dict[str, str]) -> None:
        _alter_system(self.server, **settings)
        before = self.server.ask("SELECT pg_conf_load_time() FROM pg_reload_conf()")
        # A session has the settings that the main process had when it came.
        wait_until(lambda: self.server.ask("SELECT pg_conf_load_time()") != before, "the server has read them")


@pytest.fixture(scope="session")
def backend() -> Iterator[Backend]:
    """A server that speaks TLS on both loopback addresses, and listens on sockets in odd directories."""
    assert (DEBIAN / "postgres").exists(), f"these tests need it: apt-get install postgresql-{DEBIANS_MAJOR}"
    with new_cluster() as (cluster, server):
        made = certificates.make(_own_directory(cluster.directory / "certificates"), CERTIFIED)
        _own(*made.directory.iterdir())
        sockets = [_own_directory(cluster.directory / "s" / name) for name in ODD]
        _alter_system(
            server, listen_addresses=f"{LOOPBACK},::1", unix_socket_directories=[str(path) for path in sockets],
            ssl="on", ssl_cert_file=str(made.crt("server")), ssl_key_file=str(made.key("server")),
            ssl_ca_file=str(made.crt("authority")),
        )  # fmt: skip
        (cluster.data / "pg_hba.conf").write_text(_HBA)
        command = [str(DEBIAN / "pg_ctl"), "restart", "-D", str(cluster.data), "-l", str(cluster.log), "-w", "-s"]
        done = operating_system.run_as(ACCOUNT, command, cwd=cluster.directory)
        assert done.returncode == 0, done.stdout + cluster.log.read_text()
        yield Backend(server, made, cluster.directory / "s")


def _alter_system(server: Server, **settings: str | list[str]) -> None:
    with server.connect() as connection:
        for name, value in settings.items():
            values = sql.SQL(", ").join(map(sql.Literal, [value] if isinstance(value, str) else value))
            connection.execute(sql.SQL("ALTER SYSTEM SET {} TO {}").format(sql.Identifier(name), values))


def _own_directory(path: Path) -> Path:
    """Make a directory for the account of the servers."""
    path.parent.mkdir(mode=0o711, exist_ok=True)
    path.mkdir(mode=0o755)
    _own(path)
    return path


def _own(*paths: Path) -> None:
    """Give files to the account of the servers."""
    if ACCOUNT is not None:
        for path in paths:
            os.chown(path, ACCOUNT.uid, ACCOUNT.gid)


@pytest.fixture
def start_pooler(backend: Backend) -> Iterator[Callable[..., URL]]:
    """A function that starts PgBouncer with some settings in front of the server; gives the server's URL through it."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(_pooler(backend.server, **settings))


@contextmanager
def _pooler(server: Server, databases: str = "* = host={host} port={port}", **settings: object) -> Iterator[URL]:
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "these tests need it: apt-get install pgbouncer"
    directory = Path(tempfile.mkdtemp(prefix="pp-pooler-"))
    _own(directory)
    port = operating_system.free_port(LOOPBACK)
    named = {
        "listen_addr": LOOPBACK, "listen_port": port, "unix_socket_dir": "", "auth_type": "scram-sha-256",
        "auth_file": directory / "users.txt", "logfile": directory / "log", "pool_mode": "session", **settings,
    }  # fmt: skip
    _write(directory / "users.txt", _users(server))
    _write(
        directory / "pgbouncer.ini",
        f"[databases]\n{databases.format(host=server.url.host, port=server.url.port)}\n[pgbouncer]\n"
        + "".join(f"{name} = {value}\n" for name, value in named.items()),
    )
    as_account = [] if ACCOUNT is None else ["-u", ACCOUNT.name]
    process = subprocess.Popen(
        [program, "-q", *as_account, str(directory / "pgbouncer.ini")],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_until(lambda: process.poll() is not None or listens(port), "PgBouncer listens")
        assert process.poll() is None, (directory / "log").read_text()
        yield server.url.set(port=port)
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory)


def _users(server: Server) -> str:
    """Every role with its SCRAM secret. With it PgBouncer knows a client, and logs in where it knows one."""
    with server.connect() as connection:
        rows = connection.execute("SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL").fetchall()
    return "".join(f'"{name}" "{secret}"\n' for name, secret in rows)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    _own(path)


def listens(port: int) -> bool:
    """Whether something listens on a port."""
    with socket.socket() as client:
        return client.connect_ex((LOOPBACK, port)) == 0


@pytest.fixture
def owned(backend: Backend) -> Iterator[URL]:
    """An empty database of a role that may create others; its URL as that role."""
    with new_role(backend.server, "CREATEDB") as role, new_database(backend.server, role.username) as made:
        yield role.set(database=made.database)


@contextmanager
def role_called(backend: Backend, name: str, password: str) -> Iterator[URL]:
    """A role of that name with CREATEDB, and an empty database of its own; gives its URL."""
    with backend.server.connect() as connection:
        statement = sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Literal(password)))
    try:
        with new_database(backend.server, name) as made:
            yield made.set(username=name, password=password)
    finally:
        with backend.server.connect() as connection:
            # Templates of its own, which nobody can connect to.
            connection.execute(
                "UPDATE pg_database SET datistemplate = false WHERE pg_get_userbyid(datdba) = %s", [name]
            )
            owned = "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = %s"
            for (database,) in connection.execute(owned, [name]).fetchall():
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(str(database))))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))
