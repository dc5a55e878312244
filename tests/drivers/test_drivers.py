"""The engines with each driver: what works, what is told of tests, and what guards the database."""

from __future__ import annotations

import asyncio
import json
import re
from urllib.parse import unquote_plus

import pytest
from psycopg import sql
from sqlalchemy import event, text
from sqlalchemy.engine import URL, Engine

from pytest_pristine.errors import DriverError, RestoreError
from pytest_pristine.postgres import drivers, engines, urls
from pytest_pristine.postgres.marks import Mark
from tests.conftest import MAJOR, Project, Server

_SYNCHRONOUS = ["psycopg", "psycopg2", "pg8000"]

_SUITE = """
    import pytest
    from sqlalchemy import Engine, text

    DRIVER = {driver!r}

    @pytest.mark.parametrize("time", [1, 2])
    def test_is_undone(postgres_engine, postgres_url, clean_database, time):
        assert postgres_engine.dialect.driver == ("psycopg" if DRIVER == "asyncpg" else DRIVER)
        assert postgres_url.drivername == "postgresql+" + DRIVER
        with postgres_engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES (:name)"), {{"name": "ada"}})
            assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 2

    def test_keeps_a_connection(postgres_engine, clean_database):
        Engine.kept = postgres_engine.connect()
        Engine.kept.execute(text("SELECT 42"))

    def test_violates_a_constraint(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES ('root')"))
"""


@pytest.mark.parametrize("driver", [*_SYNCHRONOUS, "asyncpg"])
@pytest.mark.parametrize("where", ["embedded", "url"])
def test_a_run_with_each_driver(project: Project, database: URL, driver: str, where: str) -> None:
    """With each driver, on our own server and on one named by URL, tests are undone, and told as with psycopg."""
    project.write("test_users.py", _SUITE.format(driver=driver))
    url = database.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)
    environ = {"PRISTINE_DRIVER": driver} if where == "embedded" else {"TEST_DATABASE_URL": url}
    done = project.run("--pristine-report=report", **environ)
    assert "1 failed, 3 passed" in done.output, done.output
    assert "left a connection of postgres_engine, taken at" in done.output
    assert "4 tests restored" in done.output
    assert "pristine: the statement" in done.output
    assert "failed    INSERT INTO users (name) VALUES ('root')" in done.output
    assert re.search(r" {20,}(ERROR: +|<class '.*'>: )?duplicate key value violates unique constraint", done.output)
    schema = json.loads((project.path / "report" / "report.json").read_text(encoding="utf-8"))["schema"]
    assert ("unique", "users_name_key", True) in [(o["kind"], o["name"], o["covered"]) for o in schema["objects"]], (
        schema
    )


def _create(url: URL, driver: str, contested: str = "") -> Engine:
    return engines.create(url.set(drivername=f"postgresql+{driver}"), 2, contested)


@pytest.mark.parametrize("driver", _SYNCHRONOUS)
def test_a_session_has_keepalives_and_tells_its_process(database: URL, driver: str) -> None:
    """Over TCP the server notices that we are cut off, and the pool's entry has the process id of the session."""
    engine = _create(database, driver)
    entries = []
    event.listen(engine, "checkout", lambda _, entry, __: entries.append(entry))
    with engine.connect() as connection:
        idle, pid = connection.execute(text("SELECT current_setting('tcp_keepalives_idle'), pg_backend_pid()")).one()
    assert (idle, pid) == ("15", entries[0].info[engines.PID])
    engine.dispose()


@pytest.mark.parametrize("driver", [*_SYNCHRONOUS, "asyncpg"])
def test_a_database_that_another_run_has_taken(server: Server, database: URL, driver: str) -> None:
    """No connection is had to a database that another run works in by now, with whatever driver."""
    with server.connect(database.database) as connection:
        statement = sql.SQL("COMMENT ON DATABASE {} IS {}")
        mark = str(Mark("clone", run="theirs00", project="shop"))
        connection.execute(statement.format(sql.Identifier(str(database.database)), sql.Literal(mark)))
    with pytest.raises(RestoreError, match="the run theirs00 has taken it over"):
        _connect(database, driver, "ours0000")


def _connect(url: URL, driver: str, contested: str) -> None:
    if driver != "asyncpg":
        with _create(url, driver, contested).connect():
            return
    engine = engines.create_async(url, driver, 2, contested)

    async def connect() -> None:
        async with engine.connect():
            pass

    asyncio.run(connect())


@pytest.mark.parametrize(
    ("driver", "text", "wanted", "arguments"),
    [
        ("psycopg2", "postgresql://u:p@h:1/app?sslmode=require", "sslmode=require", {}),
        ("asyncpg", "postgresql://u:p@h:1/app?sslmode=require&connect_timeout=3", "ssl=require", {"timeout": 3.0}),
        ("asyncpg", "postgresql://u:p@h:1/app?keepalives=1&gssencmode=disable", "", {}),
        ("asyncpg", "postgresql://h/app?sslmode=verify-full&sslrootcert=/a",
         "dsn=postgresql:///?sslmode=verify-full&sslrootcert=/a", {}),
        ("asyncpg", "postgresql://h/app?options=-c geqo=off", "dsn=postgresql:///?options=-c geqo=off", {}),
        ("asyncpg", "postgresql+asyncpg://h/app?ssl=require&prepared_statement_cache_size=0",
         "prepared_statement_cache_size=0&ssl=require", {}),
        ("psycopg", "postgresql+asyncpg://h/app?ssl=require&prepared_statement_cache_size=0", "sslmode=require", {}),
        ("pg8000", "postgresql://u@:5433/app?host=/tmp&application_name=shop",
         "unix_sock=/tmp/.s.PGSQL.5433&application_name=shop", {"ssl_context": False}),
        ("pg8000", "postgresql://h/app?options=-c geqo=off&sslmode=disable", "",
         {"startup_params": {"options": "-c geqo=off"}, "ssl_context": False}),
        ("psycopg", "postgresql+pg8000://u@/app?unix_sock=/tmp/.s.PGSQL.5433", "host=/tmp", {}),
    ],
)  # fmt: skip
def test_what_a_url_says_is_said_to_each_driver(
    driver: str, text: str, wanted: str, arguments: dict[str, object]
) -> None:
    """The parameters of a URL are written as each driver takes them; what does not fit into a URL is an argument."""
    url = urls.parse(text.replace(" ", "%20"), "TEST_DATABASE_URL")
    found = drivers.url_for(driver, url)
    assert found.drivername == f"postgresql+{driver}"
    said = [f"{name}={unquote_plus(str(value))}" for name, value in found.query.items()]
    assert sorted(said) == sorted(filter(None, [wanted] if "dsn=" in wanted else wanted.split("&")))
    assert drivers.arguments(driver, url) == arguments
    # It comes back as it was, but for what the driver has no word for.
    again = drivers.canonical(found)
    assert drivers.for_libpq(again).items() <= drivers.for_libpq(url).items()


@pytest.mark.parametrize("driver", [*_SYNCHRONOUS, "asyncpg"])
def test_options_of_the_url_reach_the_session(database: URL, driver: str) -> None:
    """`options` and `application_name` in a URL hold with each driver."""
    url = database.update_query_dict({"options": "-c geqo=off", "application_name": "shop"})
    query = text("SELECT concat_ws(' ', current_setting('geqo'), current_setting('application_name'))")
    if driver != "asyncpg":
        engine = _create(url, driver)
        with engine.connect() as connection:
            assert connection.execute(query).scalar_one() == "off shop"
        engine.dispose()
        return
    asynchronous = engines.create_async(url, driver, 2)

    async def ask() -> object:
        async with asynchronous.connect() as connection:
            return (await connection.execute(query)).scalar_one()

    assert asyncio.run(ask()) == "off shop"


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch, database: URL) -> None:
    """A driver, or greenlet, that is missing is an error that says what to type."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("asyncpg", "greenlet") else object())
    with pytest.raises(DriverError) as missing:
        engines.create_async(database, "asyncpg", 2)
    assert missing.value.remedy[0] == 'pip install "asyncpg"'
    with pytest.raises(DriverError) as missing:
        engines.create_async(database, "psycopg", 2)
    assert missing.value.remedy[0] == 'pip install "pytest-pristine[asyncio]"'


@pytest.mark.parametrize(
    ("name", "driver", "environ"),
    [
        ("postgres_engine", "pg8000", {"PRISTINE_DRIVER": "pg8000"}),
        ("postgres_async_engine", "asyncpg", {"PRISTINE_ASYNC_DRIVER": "asyncpg"}),
        ("DATABASE_URL", "asyncpg", {"PRISTINE_EXPORT": "DATABASE_URL=postgresql+asyncpg"}),
    ],
)
@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n1")])
def test_a_run_without_the_driver_that_a_setting_names(
    project: Project, name: str, driver: str, environ: dict[str, str], workers: tuple[str, ...]
) -> None:
    """It ends before the first test, and before the application is imported, with what is to be installed."""
    project.write("without.py", f"import sys\nsys.modules[{driver!r}] = None\n")
    project.write("conftest.py", f"import {driver}\n" if "PRISTINE_EXPORT" in environ else "")
    done = project.run("-p", "without", *workers, PYTHONPATH=str(project.path), **environ)
    assert done.status == 4
    assert f"sought:  the driver of {name}\n" in done.output
    assert f"{next(iter(environ))}), which cannot be imported: import of {driver} halted" in done.message()
    assert f'to do:   pip install "{driver}"' in done.output
    assert "Traceback" not in done.output


def test_a_run_without_the_driver_that_the_url_names(project: Project, database: URL) -> None:
    """The same is said of a driver that the URL names."""
    project.write("without.py", "import sys\nsys.modules['pg8000'] = None\n")
    url = database.set(drivername="postgresql+pg8000").render_as_string(hide_password=False)
    done = project.run("-p", "without", TEST_DATABASE_URL=url, PYTHONPATH=str(project.path))
    assert done.status == 4
    assert "sought:  the driver of the URL\n" in done.output
    assert 'to do:   pip install "pg8000"' in done.output


_PLAIN = """
    import asyncio

    import asyncpg
    import pg8000.dbapi
    import psycopg
    import psycopg2

    def by_psycopg(dsn):
        with psycopg.connect(dsn) as connection:
            connection.execute("INSERT INTO users (name) VALUES ('ada')")
            return connection.execute("SELECT count(*) FROM users").fetchone()[0]

    def by_psycopg2(dsn):
        connection = psycopg2.connect(dsn)
        with connection, connection.cursor() as cursor:
            cursor.execute("INSERT INTO users (name) VALUES ('ada')")
            cursor.execute("SELECT count(*) FROM users")
            count = cursor.fetchone()[0]
        connection.close()
        return count

    def by_asyncpg(dsn):
        async def ask():
            connection = await asyncpg.connect(dsn)
            await connection.execute("INSERT INTO users (name) VALUES ('ada')")
            count = await connection.fetchval("SELECT count(*) FROM users")
            await connection.close()
            return count

        return asyncio.run(ask())

    def test_psycopg(postgres_dsn, clean_database):
        assert by_psycopg(postgres_dsn) == 2

    def test_psycopg2(postgres_dsn, clean_database):
        assert by_psycopg2(postgres_dsn) == 2

    def test_asyncpg(postgres_dsn, clean_database):
        assert by_asyncpg(postgres_dsn) == 2

    def test_pg8000(postgres_url, clean_database):
        url = postgres_url
        connection = pg8000.dbapi.connect(
            url.username, database=url.database, password=url.password,
            **({"unix_sock": f"{url.query['host']}/.s.PGSQL.{url.port}"} if "host" in url.query else
               {"host": url.host, "port": url.port}),
        )
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM users")
        assert cursor.fetchone()[0] == 1
        connection.close()
"""


@pytest.mark.parametrize("where", ["embedded", "url"])
def test_a_project_without_sqlalchemy(project: Project, database: URL, where: str) -> None:
    """`postgres_dsn` is what plain drivers take, on a Unix socket and over TCP with a password."""
    project.write("test_plain.py", _PLAIN)
    environ = {} if where == "embedded" else {"TEST_DATABASE_URL": database.render_as_string(hide_password=False)}
    done = project.run("-W", "error", "test_plain.py", **environ)
    assert done.status == 0, done.output
    assert "4 passed" in done.output
    assert f"PostgreSQL {MAJOR}" in done.output
