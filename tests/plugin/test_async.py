"""Tests with event loops: `postgres_async_engine` under pytest-asyncio and anyio, in loops of every scope."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.engine import URL

from pytest_pristine.errors import DriverError
from pytest_pristine.postgres import engines
from tests.conftest import Project

_STRICT = ("-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=function", "-W", "error")
_DRIVERS = ("psycopg", "asyncpg")

_BOTH = """
    import asyncio

    import pytest
    from sqlalchemy import text

    COUNT = text("SELECT count(*) FROM users")
    INSERT = text("INSERT INTO users (name) VALUES (:name)")

    pytestmark = pytest.mark.asyncio{scope}

    @pytest.mark.parametrize("time", [1, 2])
    async def test_writes_both_ways(postgres_async_engine, postgres_engine, clean_database, time):
        async with postgres_async_engine.begin() as connection:
            assert connection.sync_connection.dialect.driver.startswith({driver!r})
            await connection.execute(INSERT, {{"name": "ada"}})
        with postgres_engine.begin() as connection:
            connection.execute(INSERT, {{"name": "eve"}})
        async with postgres_async_engine.connect() as one, postgres_async_engine.connect() as other:
            assert (await one.execute(COUNT)).scalar_one() == (await other.execute(COUNT)).scalar_one() == 3

    async def test_sees_nothing_of_it(clean_database, postgres_async_engine):
        async def count():
            async with postgres_async_engine.connect() as connection:
                return (await connection.execute(COUNT)).scalar_one()

        assert await asyncio.gather(*(count() for _ in range(20))) == [1] * 20
"""
_PLAIN = """
    from sqlalchemy import text

    def test_plain(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 1
            connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
"""


def _passes(project: Project, *arguments: str, passed: int, **environ: str) -> str:
    done = project.run(*_STRICT, *arguments, **environ)
    assert done.status == 0, done.output
    assert f"{passed} passed" in done.output
    assert "warning" not in done.output.lower(), done.output
    assert f"{passed} tests restored" in done.output
    assert "no connection left open or in a transaction: none" in done.output
    return done.output


@pytest.mark.parametrize("driver", _DRIVERS)
@pytest.mark.parametrize("scope", ["function", "class", "module", "package", "session"])
def test_loops_of_every_scope(project: Project, scope: str, driver: str) -> None:
    """Tests in loops of any scope share a run with plain ones, and nothing warns."""
    project.write("tests/__init__.py", "")
    for name in ("one", "two"):
        body = _BOTH.format(scope=f"(loop_scope={scope!r})", driver=driver)
        project.write(f"tests/test_{name}.py", body)
    project.write("tests/test_between.py", _PLAIN)
    _passes(project, "tests", passed=7, PRISTINE_ASYNC_DRIVER=driver)


@pytest.mark.parametrize("driver", _DRIVERS)
def test_auto_mode_and_the_driver_of_the_url(project: Project, driver: str) -> None:
    """In auto mode it is the same, and the setting for both engines names the driver, too."""
    project.write("test_auto.py", _BOTH.format(scope="", driver=driver).replace("pytestmark", "unused"))
    _passes(project, "test_auto.py", "--asyncio-mode=auto", passed=3, PRISTINE_DRIVER=driver)


_ODD = """
    import asyncio
    import gc
    import threading

    import pytest
    from sqlalchemy import text

    QUERY = text("SELECT 1")

    async def ask(engine):
        async with engine.connect() as connection:
            return (await connection.execute(QUERY)).scalar_one()

    def test_a_loop_that_is_closed_without_a_word(postgres_async_engine, clean_database):
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(ask(postgres_async_engine)) == 1
        loop.close()

    def test_its_connections_warn_of_nothing(postgres_async_engine, clean_database):
        gc.collect()

    def test_runners_one_after_the_other(postgres_async_engine, clean_database):
        assert [asyncio.run(ask(postgres_async_engine)) for _ in range(3)] == [1, 1, 1]

    @pytest.mark.asyncio
    async def test_a_loop_in_another_thread(postgres_async_engine, clean_database):
        found = []
        thread = threading.Thread(target=lambda: found.append(asyncio.run(ask(postgres_async_engine))))
        found.append(await ask(postgres_async_engine))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert found == [1, 1]

    @pytest.mark.asyncio
    async def test_disposes_of_it_as_an_application_does_at_its_end(postgres_async_engine, clean_database):
        assert await ask(postgres_async_engine) == 1
        await postgres_async_engine.dispose()
        assert await ask(postgres_async_engine) == 1

    @pytest.mark.asyncio
    async def test_changes_the_schema(postgres_async_engine, clean_database):
        async with postgres_async_engine.begin() as connection:
            await connection.execute(text("CREATE TABLE further (id int)"))

    @pytest.mark.asyncio(loop_scope="session")
    @pytest.mark.parametrize("time", [1, 2])
    async def test_changes_it_in_a_loop_that_goes_on(postgres_async_engine, clean_database, time):
        async with postgres_async_engine.begin() as connection:
            await connection.execute(text("CREATE TABLE further (id int)"))

    @pytest.mark.asyncio(loop_scope="session")
    async def test_uses_the_same_connection_as_the_last(postgres_async_engine, clean_database):
        async with postgres_async_engine.connect() as connection:
            pids.append((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())

    test_again = test_uses_the_same_connection_as_the_last
    pids = []

    def test_it_did():
        assert len(set(pids)) == 1 and len(pids) == 2
"""


@pytest.mark.parametrize("driver", _DRIVERS)
def test_loops_that_come_and_go(project: Project, driver: str) -> None:
    """Loops that were closed by hand, run in a thread, or outlive a database leave nothing that warns or fails."""
    project.write("test_odd.py", _ODD)
    changed = ("-W", "default::pytest_pristine.SchemaChangedWarning")
    done = project.run(*_STRICT, *changed, "test_odd.py", PRISTINE_ASYNC_DRIVER=driver)
    assert done.status == 0, done.output
    assert "11 passed, 3 warnings" in done.output
    assert done.output.count("changed more than rows") == 3
    assert "no connection left open or in a transaction: none" in done.output


_LEAKS = """
    import pytest
    from sqlalchemy import text

    pytestmark = pytest.mark.asyncio(loop_scope={scope!r})
    kept = []

    async def test_keeps_a_connection(postgres_async_engine, clean_database):
        kept.append(await postgres_async_engine.connect())

    async def test_keeps_a_transaction(postgres_async_engine, clean_database):
        connection = await postgres_async_engine.connect()
        await connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
        kept.append(connection)

    async def test_loses_a_connection(postgres_async_engine, clean_database):
        await (await postgres_async_engine.connect()).execute(text("SELECT 1"))

    async def test_is_not_disturbed(postgres_async_engine, postgres_engine, clean_database):
        async with postgres_async_engine.begin() as connection:
            await connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
"""


@pytest.mark.parametrize("driver", _DRIVERS)
@pytest.mark.parametrize("scope", ["function", "session"])
def test_what_is_not_given_back_is_named(project: Project, scope: str, driver: str) -> None:
    """A test that keeps or loses an asynchronous connection is named with the place, and disturbs no other."""
    project.write("test_leaks.py", _LEAKS.format(scope=scope))
    done = project.run("-p", "asyncio", "test_leaks.py", PRISTINE_ASYNC_DRIVER=driver, PRISTINE_RESTORE_TIMEOUT="1")
    assert "4 passed" in done.output
    for test, line in (("keeps_a_connection", 9), ("keeps_a_transaction", 12), ("loses_a_connection", 17)):
        named = f"test_leaks.py::test_{test} left a connection of postgres_async_engine, taken at"
        assert named in done.message(), done.output
        assert f"test_leaks.py:{line}" in done.output


_ANYIO = """
    import pytest
    from sqlalchemy import text

    pytestmark = pytest.mark.anyio

    @pytest.fixture({arguments})
    async def pid(postgres_async_engine):
        async with postgres_async_engine.connect() as connection:
            yield (await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one()

    @pytest.mark.parametrize("time", [1, 2])
    async def test_writes(postgres_async_engine, postgres_engine, clean_database, pid, time):
        async with postgres_async_engine.begin() as connection:
            await connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
        with postgres_engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 2
"""
_ON_ASYNCIO = """
    import pytest

    @pytest.fixture(scope="session")
    def anyio_backend():
        return "asyncio"
"""


@pytest.mark.parametrize("driver", _DRIVERS)
def test_anyio(project: Project, driver: str) -> None:
    """Under anyio's plugin it is the same, with fixtures in the loop of the test; on trio an error says what to do."""
    project.write("test_users.py", _ANYIO.format(arguments=""))
    trio = project.run("-p", "anyio", "-W", "error", "test_users.py", "-k", "trio", PRISTINE_ASYNC_DRIVER=driver)
    assert "trio: SQLAlchemy's asynchronous engines work with asyncio alone" in trio.output
    assert "or all of them, by a fixture anyio_backend that returns 'asyncio'" in trio.output
    project.write("conftest.py", _ON_ASYNCIO)
    done = project.run("-p", "anyio", "-W", "error", "test_users.py", PRISTINE_ASYNC_DRIVER=driver)
    assert done.status == 0, done.output
    assert "2 passed" in done.output
    assert "no connection left open or in a transaction: none" in done.output


def test_workers(project: Project) -> None:
    """Under pytest-xdist each worker has an asynchronous engine on a database of its own."""
    project.write("test_both.py", _BOTH.format(scope="(loop_scope='session')", driver="psycopg"))
    _passes(project, "-p", "xdist", "-n", "2", "test_both.py", passed=3)


_ASYNC_ENV = """
    import asyncio

    from alembic import context
    from sqlalchemy.ext.asyncio import create_async_engine

    def run(connection):
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()

    async def main():
        engine = create_async_engine(context.config.get_main_option("sqlalchemy.url"))
        async with engine.connect() as connection:
            await connection.run_sync(run)
            await connection.commit()
        await engine.dispose()

    asyncio.run(main())
"""
_FIRST_IN_A_LOOP = """
    import pytest
    from sqlalchemy import text

    @pytest.mark.asyncio
    async def test_asks_in_the_loop(request):
        request.getfixturevalue("clean_database")
        engine = request.getfixturevalue("postgres_async_engine")
        async with engine.connect() as connection:
            assert (await connection.execute(text("SELECT count(*) FROM users"))).scalar_one() == 1
"""


@pytest.mark.parametrize("process", ["child", "inline"])
@pytest.mark.parametrize("driver", _DRIVERS)
def test_an_asynchronous_env_py_when_a_loop_runs(project: Project, driver: str, process: str) -> None:
    """Migrations whose env.py runs a loop are run for a fixture that is first asked for in a running one."""
    project.write("migrations/env.py", _ASYNC_ENV)
    project.write("test_users.py", _FIRST_IN_A_LOOP)
    environ = {"PRISTINE_DRIVER": driver, "PRISTINE_MIGRATIONS_PROCESS": process, "PRISTINE_CREATE_DB": "true"}
    done = project.run(*_STRICT, "test_users.py", **environ)
    assert done.status == 0, done.output
    assert "1 passed" in done.output


def test_where_no_loop_runs(project: Project) -> None:
    """A plain test that connects by the asynchronous engine is told which one to use."""
    project.write(
        "test_users.py",
        """
        def test_plain(postgres_async_engine, clean_database):
            postgres_async_engine.sync_engine.connect()
        """,
    )
    done = project.run("test_users.py")
    assert "to do:   use postgres_engine where no loop runs: in plain functions, say" in done.output


class ProactorEventLoop(asyncio.SelectorEventLoop):
    """Has the name of the usual loop on Windows."""


def test_psycopg_in_the_usual_loop_of_windows(database: URL) -> None:
    """Psycopg cannot work in Windows' usual loop: the error says which one to run, or which driver to take."""
    engine = engines.create_async(database, "psycopg", 2)

    async def connect() -> None:
        async with engine.connect():
            pass

    with pytest.raises(DriverError) as refused, asyncio.Runner(loop_factory=ProactorEventLoop) as runner:
        runner.run(connect())
    assert refused.value.found == "a ProactorEventLoop, the usual one on Windows"
    assert "pristine_async_driver = asyncpg" in refused.value.remedy[1]
