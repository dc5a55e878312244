"""Tests with event loops: `postgres_async_engine` under pytest-asyncio and anyio, in loops of every scope."""

from __future__ import annotations

import pytest

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
