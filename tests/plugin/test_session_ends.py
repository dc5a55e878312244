"""Sessions that are rolled back, where a transaction ends in an odd way: what the test is told, and what is left."""

from __future__ import annotations

import pytest

from tests.conftest import Project

# Of one schema: two constraints have the same name, of which one cannot be deferred.
_DEFERRED = """
    from alembic import op

    revision, down_revision = "0002", "0001"

    def upgrade():
        op.execute("CREATE TABLE orders (who int CONSTRAINT who REFERENCES users DEFERRABLE INITIALLY DEFERRED)")
        op.execute("CREATE TABLE visits (who int {constraint} REFERENCES users)")
"""
_HEAD = """
    import asyncio

    import pytest
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.orm import Session

    INTO_ORDERS = text("INSERT INTO orders VALUES (:who)")
    INTO_USERS = text("INSERT INTO users (name) VALUES (:name)")

    def count(session, table="users"):
        return session.scalar(text(f"SELECT count(*) FROM {table}"))

"""
_STRICT = ("--pristine-proof=always", "-W", "error")
_LOOPS = ("-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=function")
_VIOLATIONS = """
    def test_fails_to_commit(postgres_session):
        postgres_session.execute(INTO_ORDERS, {"who": 77})
        with pytest.raises(IntegrityError):
            postgres_session.commit()

    def test_is_deferred_again(postgres_session):
        for who in (2, 3):
            postgres_session.execute(INTO_ORDERS, {"who": who})
            postgres_session.execute(INTO_USERS, {"name": str(who)})
            postgres_session.commit()
        assert (count(postgres_session), count(postgres_session, "orders")) == (3, 2)
        postgres_session.execute(INTO_ORDERS, {"who": 77})
        with pytest.raises(IntegrityError):
            postgres_session.commit()
        postgres_session.rollback()
        assert count(postgres_session, "orders") == 2
"""


def lay_out(project: Project, tests: str, constraint: str = "") -> None:
    """Write the tests, and a migration with a deferred constraint."""
    project.write("migrations/versions/0002_orders.py", _DEFERRED.format(constraint=constraint))
    project.write("test_users.py", _HEAD + tests)


@pytest.mark.parametrize("constraint", ["", "CONSTRAINT who"])
def test_a_commit_that_fails(project: Project, constraint: str) -> None:
    """A commit checks deferred constraints, whatever others are called, and its failure may be the end of a test."""
    lay_out(project, _VIOLATIONS, constraint)
    done = project.run(*_STRICT)
    assert done.status == 0, done.output
    assert "2 passed" in done.output


@pytest.mark.parametrize("scope", ["function", "session"])
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_commit_that_fails_in_a_loop(project: Project, driver: str, scope: str) -> None:
    """So it is in a loop, whether that ends with the test or lives longer, and its connections are closed."""
    lay_out(project, f"""
    @pytest.mark.asyncio(loop_scope="{scope}")
    async def test_fails_to_commit(postgres_async_session):
        await postgres_async_session.execute(INTO_ORDERS, {{"who": 77}})
        with pytest.raises(IntegrityError):
            await postgres_async_session.commit()

    @pytest.mark.asyncio(loop_scope="{scope}")
    async def test_sees_nothing_of_it(postgres_async_session):
        assert await postgres_async_session.scalar(text("SELECT count(*) FROM orders")) == 0
    """)  # fmt: skip
    done = project.run(*_STRICT, *_LOOPS, PRISTINE_ASYNC_DRIVER=driver)
    assert done.status == 0, done.output
    assert "2 passed" in done.output
    assert "no connection left open or in a transaction: none" in done.output
    assert "an error occurred during closing of asynchronous generator" not in done.output


def test_constraints_of_a_layer(project: Project) -> None:
    """What a layer adds of deferred constraints is checked at commits, though the tests before had none."""
    project.write("test_before.py", "def test_before(postgres_session):\n    postgres_session.connection()\n")
    project.write("test_users.py", _HEAD + """
    def load(engine):
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE orders (who int REFERENCES users DEFERRABLE INITIALLY DEFERRED)"))

    @pytest.fixture(scope="module")
    def postgres_baseline(postgres_baseline):
        with postgres_baseline.layer(load) as baseline:
            yield baseline

    def test_violates(postgres_session):
        postgres_session.execute(INTO_ORDERS, {"who": 77})
        with pytest.raises(IntegrityError):
            postgres_session.commit()
    """)  # fmt: skip
    done = project.run(*_STRICT, "-p", "no:randomly")
    assert done.status == 0, done.output
    assert "2 passed" in done.output


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_loop_that_is_closed_without_a_word(project: Project, driver: str) -> None:
    """What was done in it is rolled back all the same, its connection is ended, and nobody is blamed for it."""
    lay_out(project, """
    async def put(session):
        await session.execute(INTO_USERS, {"name": "ada"})
        await session.commit()

    def test_closes(postgres_async_session):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(put(postgres_async_session))
        loop.close()

    def test_sees_nothing_of_it(postgres_session):
        assert count(postgres_session) == 1
    """)  # fmt: skip
    done = project.run("--pristine-proof=always", "-p", "no:randomly", PRISTINE_ASYNC_DRIVER=driver)
    assert done.status == 0, done.output
    assert "2 passed" in done.output
    assert "LeftoverWarning" not in done.output
    assert "no connection left open or in a transaction: none" in done.output


def test_what_a_failed_test_wrote_is_its_own(project: Project) -> None:
    """It is not told what earlier tests wrote on the same connection, in sessions or past them."""
    lay_out(project, """
    def test_first(postgres_session):
        for name in "abc":
            postgres_session.execute(INTO_USERS, {"name": name})
        postgres_session.commit()

    def test_second(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(INTO_USERS, {"name": "d"})

    def test_fails(postgres_session):
        postgres_session.execute(INTO_ORDERS, {"who": 1})
        assert count(postgres_session) == 77
    """)  # fmt: skip
    done = project.run("-p", "no:randomly")
    assert "1 failed, 2 passed" in done.output
    assert "in a session that is rolled back: orders 1 inserted\n" in done.output, done.output


def test_what_its_bind_is(project: Project) -> None:
    """Code that asks a session for its bind gets the engine, and once it is in use the connection; that takes none."""
    lay_out(project, """
    def test_bind(postgres_session, postgres_engine):
        assert postgres_session.bind is postgres_engine
        assert postgres_engine.pool.checkedout() == 0
        postgres_session.execute(INTO_USERS, {"name": "ada"})
        assert postgres_session.bind is postgres_session.get_bind()
        assert count(Session(postgres_session.bind, join_transaction_mode="create_savepoint")) == 2

    async def ask(session):
        assert session.bind.dialect.name == "postgresql"
        await session.execute(INTO_USERS, {"name": "ada"})
        assert session.bind.dialect.name == "postgresql"

    def test_asynchronous(postgres_async_session):
        asyncio.run(ask(postgres_async_session))
    """)  # fmt: skip
    done = project.run(*_STRICT)
    assert done.status == 0, done.output


def test_an_engine_without_transactions(project: Project) -> None:
    """A project's own engine whose statements commit at once is refused, and nothing has been written."""
    lay_out(project, """
    @pytest.fixture(scope="session")
    def postgres_engine(postgres_url):
        engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
        yield engine
        engine.dispose()

    def test_writes(postgres_session):
        postgres_session.execute(INTO_USERS, {"name": "ada"})

    def test_sees_nothing_of_it(postgres_engine, clean_database):
        with postgres_engine.connect() as connection:
            assert count(connection) == 1
    """)  # fmt: skip
    done = project.run("-p", "no:randomly")
    assert "1 failed, 1 passed" in done.output
    assert "sought:  a transaction on postgres_engine, for a session that is rolled back" in done.output
    assert "each statement is committed at once: the engine's isolation level is AUTOCOMMIT" in done.output


def test_a_failure_with_a_table_that_is_locked(project: Project) -> None:
    """Where the session's own lock keeps us from telling what was committed, it is called by its name."""
    lay_out(project, """
    def test_fails(postgres_session):
        postgres_session.execute(text("ALTER TABLE users ADD COLUMN age int"))
        assert False
    """)  # fmt: skip
    done = project.run("--pristine-restore-timeout=1")
    assert "(the session that is rolled back after the test)" in done.output, done.output
