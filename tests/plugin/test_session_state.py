"""What a test leaves in the sessions of the engines is not there for the next one; what the project sets there is."""

from __future__ import annotations

import pytest

from pytest_pristine.postgres.session_state import leaves
from tests.conftest import Project

_OWN = """
    import pytest
    from sqlalchemy import event

    @pytest.fixture(scope="session")
    def postgres_engine(postgres_engine):
        @event.listens_for(postgres_engine, "connect")
        def set_up(connection, entry):
            cursor = connection.cursor()
            cursor.execute("SET application_name TO 'the application'")
            cursor.close()
            connection.commit()

        yield postgres_engine
"""
_STATE = """
    SELECT json_build_object(
        'settings', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE source = 'session'),
        'path', current_setting('search_path'), 'own', current_setting('app.tenant', true), 'role', current_user,
        'listens', (SELECT array_agg(c) FROM pg_listening_channels() c),
        'temporary', (SELECT array_agg(relname ORDER BY relname) FROM pg_class WHERE relpersistence = 't'),
        'prepared', (SELECT array_agg(name) FROM pg_prepared_statements WHERE from_sql),
        'cursors', (SELECT array_agg(name) FROM pg_cursors WHERE is_holdable),
        'random', 0)::text
"""
_TESTS = """
    import pytest
    from sqlalchemy import text

    STATE = {state!r}
    LEAVING = {leaving!r}
    seen = []

    @pytest.mark.parametrize("what", ["nothing", *LEAVING, "nothing more"])
    def test_leaves(postgres_engine, clean_database, what):
        with postgres_engine.connect() as connection:
            seen.append(connection.exec_driver_sql(STATE).scalar_one())
            connection.commit()
        assert seen[-1] == seen[0]
        assert "the application" in seen[0]
        if what in LEAVING:
            with postgres_engine.begin() as connection:
                connection.exec_driver_sql(what)
"""
_LEAVING = [
    "SET search_path TO pg_catalog",
    "SET timezone TO 'Asia/Tokyo'",
    "set session_replication_role to replica",
    "/* a word */ SET ROLE pg_monitor",
    "SELECT 1; SET app.tenant TO 'ada'",
    "SELECT set_config('app.tenant', 'eve', false)",
    "SET/**/app.tenant = 'ann'",
    "RESET ALL",
    "LISTEN news",
    "CREATE TEMP TABLE mine (id int)",
    "CREATE TABLE pg_temp.yours (id int)",
    "SELECT 1 AS id INTO TEMPORARY ours",
    "PREPARE answer AS SELECT 42",
    "DECLARE held CURSOR WITH HOLD FOR SELECT 1",
    "DO $$ BEGIN PERFORM set_config('app.tenant', 'joe', false); END $$",
]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000"])
def test_nothing_is_left_in_a_session(project: Project, driver: str) -> None:
    """Settings, roles, channels, temporary tables, prepared statements and held cursors end with their test."""
    project.write("conftest.py", _OWN)
    project.write("test_users.py", _TESTS.format(state=_STATE, leaving=_LEAVING))
    done = project.run("-W", "error", PRISTINE_DRIVER=driver)
    assert done.status == 0, done.output
    assert f"{len(_LEAVING) + 2} passed" in done.output


_RAW = """
    import pytest
    from sqlalchemy import text

    @pytest.mark.parametrize("time", [1, 2])
    def test_by_hand(postgres_engine, clean_database, time):
        with postgres_engine.connect() as connection:
            assert connection.execute(text("SHOW timezone")).scalar_one() != "Asia/Tokyo"
            connection.connection.cursor().execute("SET timezone TO 'Asia/Tokyo'")
            connection.commit()

    @pytest.mark.parametrize("time", [1, 2])
    def test_from_the_pool(postgres_engine, clean_database, time):
        connection = postgres_engine.execution_options(stream_results=True).raw_connection()
        cursor = connection.cursor()
        cursor.execute("SHOW timezone")
        assert cursor.fetchone()[0] != "Asia/Tokyo"
        cursor.execute("SET timezone TO 'Asia/Tokyo'")
        connection.commit()
        connection.close()

    @pytest.mark.asyncio(loop_scope="session")
    @pytest.mark.parametrize("time", [1, 2])
    async def test_asynchronously(postgres_async_engine, clean_database, time):
        async with postgres_async_engine.begin() as connection:
            assert (await connection.execute(text("SHOW timezone"))).scalar_one() != "Asia/Tokyo"
            await connection.execute(text("SET timezone TO 'Asia/Tokyo'"))
            await connection.execute(text("CREATE TEMP TABLE mine (id int)"))

    @pytest.mark.asyncio(loop_scope="session")
    @pytest.mark.parametrize("time", [1, 2])
    async def test_asynchronously_by_hand(postgres_async_engine, clean_database, time):
        async with postgres_async_engine.connect() as connection:
            assert (await connection.execute(text("SHOW timezone"))).scalar_one() != "Asia/Tokyo"
            await connection.commit()
            raw = await connection.get_raw_connection()
            await raw.driver_connection.execute("SET timezone TO 'Asia/Tokyo'")
            await connection.commit()

    @pytest.mark.parametrize("time", [1, 2])
    def test_leaves_nothing(postgres_engine, clean_database, time):
        with postgres_engine.begin() as connection:
            connection.execute(text("SET LOCAL timezone TO 'Asia/Tokyo'"))
            connection.execute(text("SELECT set_config('timezone', 'Asia/Tokyo', true)"))
            connection.execute(text("UPDATE users SET name = 'temporary set_config' WHERE name = 'root'"))
            pids.append(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())

    pids = []

    def test_keeps_the_connection():
        assert len(set(pids)) == 1
"""


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_the_drivers_own_connection(project: Project, driver: str) -> None:
    """What is done with the driver's own connection does not stay either; what leaves nothing costs no connection."""
    project.write("test_raw.py", _RAW)
    loops = ("-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=function")
    done = project.run("-W", "error", *loops, "test_raw.py", PRISTINE_ASYNC_DRIVER=driver)
    assert done.status == 0, done.output
    assert "11 passed" in done.output


@pytest.mark.parametrize("statement", [*_LEAVING, "SET\nx = 1", "-- why\nSET x = 1", "BEGIN; set x = 1", "call p()"])
def test_statements_that_leave_something(statement: str) -> None:
    """What outlives its transaction in a session is told by the text, however it is written."""
    assert leaves(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE a SET b = 1", "INSERT INTO a VALUES (1) ON CONFLICT DO UPDATE SET b = 1", "SET LOCAL x = 1",
        "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "SET CONSTRAINTS ALL DEFERRED", "PREPARE TRANSACTION 'a'",
        "SELECT set_config('a', 'b', true)", "SELECT temp FROM templates", "INSERT INTO a VALUES ('SET x = 1')",
    ],
)  # fmt: skip
def test_statements_that_leave_nothing(statement: str) -> None:
    """What ends with its transaction, or only looks like more, costs no connection."""
    assert not leaves(statement)


def test_a_prepared_transaction(project: Project) -> None:
    """Code under test may commit in two phases on a server of ours, and what it leaves prepared is rolled back."""
    project.write("test_users.py", """
        from sqlalchemy import text

        def test_leaves_one(postgres_engine, clean_database):
            with postgres_engine.connect() as connection:
                transaction = connection.begin_twophase()
                connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
                transaction.prepare()
                connection.detach()

        def test_finds_none(postgres_engine, clean_database):
            with postgres_engine.connect() as connection:
                assert connection.scalar(text("SELECT count(*) FROM pg_prepared_xacts")) == 0
                assert connection.scalar(text("SELECT count(*) FROM users")) == 1
    """)  # fmt: skip
    done = project.run("-p", "no:randomly")
    assert "2 passed" in done.output, done.output
