"""Addresses of all kinds: IPv6, directories of sockets with odd names, and places where no Postgres answers."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from pytest_pristine.errors import NotAPostgresUrlError, UnreachableError
from tests.conftest import wait_until
from tests.network.conftest import LIFE, ODD, listens, passed
from tests.network.proxy import CUT, Proxy
from tests.servers.conftest import text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import URL

    from tests.conftest import Project
    from tests.network.conftest import Backend
    from tests.servers.conftest import Resolve

# One that takes the database from its configuration, where it stands as text.
ENV_PY = """
    from alembic import context
    from sqlalchemy import create_engine

    with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""
SOON = "?connect_timeout=2"


def on_socket(backend: Backend, url: URL, name: str, *, as_host: bool) -> str:
    """The URL of a database by the socket in a directory, in either of the spellings that libpq has."""
    directory = quote(str(backend.sockets / name), safe="")
    user, port = quote(str(url.username), safe=""), url.port
    if as_host:
        return f"postgresql://{user}@{directory}:{port}/{url.database}"
    return f"postgresql://{user}@/{url.database}?host={directory}&port={port}"


def test_ipv6(project: Project, owned: URL) -> None:
    """A run works at an address of IPv6."""
    url = text(owned.set(host="::1"))
    assert "@[::1]:" in url
    run = project.run(TEST_DATABASE_URL=url)
    assert run.status == 0, run.output


@pytest.mark.parametrize("as_host", [False, True], ids=["parameter", "host"])
@pytest.mark.parametrize("name", ODD)
def test_sockets_in_odd_directories(
    resolve: Resolve,
    backend: Backend,
    owned: URL,
    name: str,
    as_host: bool,  # noqa: FBT001
) -> None:
    """Whatever characters the directory of a socket has, a server is found there by either spelling of the URL."""
    url = on_socket(backend, owned, name, as_host=as_host)
    assert resolve(TEST_DATABASE_URL=url).target == owned.database


def test_a_life_on_an_odd_socket(project: Project, backend: Backend, owned: URL) -> None:
    """A whole run works on a socket with all these characters, also where env.py takes its URL as text."""
    project.write("test_users.py", LIFE)
    project.write("migrations/env.py", ENV_PY)
    run = project.run(TEST_DATABASE_URL=on_socket(backend, owned, ODD[-1], as_host=True))
    assert passed(run), run.output


@pytest.mark.parametrize("as_host", [False, True], ids=["parameter", "host"])
def test_a_comma_in_a_directory(resolve: Resolve, backend: Backend, owned: URL, as_host: bool) -> None:  # noqa: FBT001
    """A comma in the directory of a socket is refused, and not taken for two hosts."""
    with pytest.raises(NotAPostgresUrlError) as caught:
        resolve(TEST_DATABASE_URL=on_socket(backend, owned, "a,b", as_host=as_host))
    assert caught.value.found == "a socket's directory with a comma in its name, which libpq takes for several hosts"
    assert caught.value.remedy == ("name the server's TCP address, or a link to that directory",)


def test_a_name_that_does_not_resolve(resolve: Resolve, owned: URL) -> None:
    """A host that nobody knows is an error that names it."""
    with pytest.raises(UnreachableError, match=r"'nowhere\.invalid'") as caught:
        resolve(TEST_DATABASE_URL=text(owned.set(host="nowhere.invalid")))
    assert caught.value.remedy[0] == "start the server on nowhere.invalid, or correct the address"


@pytest.fixture
def web_server(free_port: int) -> Iterator[int]:
    """The port of a server of HTTP."""
    command = [sys.executable, "-m", "http.server", str(free_port), "--bind", "127.0.0.1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listens(free_port), "the web server listens")
        yield free_port
    finally:
        process.kill()
        process.wait()


def test_something_else_answers(resolve: Resolve, owned: URL, web_server: int) -> None:
    """A port where something else listens is an error that says so, and quotes it."""
    with pytest.raises(UnreachableError) as caught:
        resolve(TEST_DATABASE_URL=text(owned.set(port=web_server)) + SOON)
    assert caught.value.found == f"something at port {web_server} that is no Postgres; it says '<!DOCTYPE HTML>'"
    assert caught.value.remedy == ("correct host and port in TEST_DATABASE_URL",)


def test_idle_connections_are_cut_while_tests_run(project: Project, owned: URL) -> None:
    """Where a proxy cuts what is idle while a test runs, we connect again; the database is restored and made anew."""
    project.write(
        "test_users.py",
        """
        import pytest
        from cutting import cut
        from sqlalchemy import text

        @pytest.mark.parametrize("number", [1, 2, 3])
        def test_idle(postgres_engine, clean_database, number):
            with postgres_engine.begin() as connection:
                assert connection.execute(text("SELECT string_agg(name, ',') FROM users")).scalar_one() == "root"
                connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
                if number == 2:
                    connection.execute(text("ALTER TABLE users ADD COLUMN age int"))
            postgres_engine.dispose()
            cut(keep=0)
        """,
    )
    with Proxy(owned) as proxy:
        project.write("cutting.py", CUT.format(port=proxy.control))
        run = project.run(TEST_DATABASE_URL=text(owned.set(port=proxy.port)))
        assert (run.status, "3 passed" in run.output) == (0, True), run.output
        assert proxy.cut > 0


def test_idle_connections_are_cut_while_migrations_run(project: Project, owned: URL) -> None:
    """Where the connection ends that waits for the migrations, the run says so, and the next one passes."""
    revision = """
        from alembic import op
        {}

        revision, down_revision = "0002", "0001"

        def upgrade():
            op.execute("SELECT 1")
            {}
    """
    with Proxy(owned) as proxy:
        project.write("cutting.py", CUT.format(port=proxy.control))
        url = text(owned.set(port=proxy.port))
        project.write("migrations/versions/0002_cut.py", revision.format("from cutting import cut", "cut(keep=1)"))
        run = project.run("-l", TEST_DATABASE_URL=url)
        assert run.status == pytest.ExitCode.TESTS_FAILED
        assert f"sought: to make databases for the tests on postgresql://{owned.username}:***@" in run.message()
        assert "found: a connection that ended meanwhile: " in run.message()
        assert "what cuts idle connections on the way must wait longer than migrations take" in run.message()
        assert "Traceback" not in run.output
        assert str(owned.password) not in run.output
        project.write("migrations/versions/0002_cut.py", revision.format("", ""))
        run = project.run(TEST_DATABASE_URL=url)
        assert (run.status, "1 passed" in run.output) == (0, True), run.output
