"""The fixtures `postgres_session` and `postgres_async_session`, in a project that uses them."""

from __future__ import annotations

import pytest

from tests.conftest import Project

_MODELS = """
    from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]
"""
_DEFERRED = """
    from alembic import op

    revision, down_revision = "0002", "0001"

    def upgrade():
        op.execute("CREATE TABLE orders (who int REFERENCES users DEFERRABLE INITIALLY DEFERRED)")
"""
_TESTS = """
    import pytest
    from models import User
    from sqlalchemy import func, select, text
    from sqlalchemy.orm import Session

    def count(session):
        return session.scalar(select(func.count()).select_from(User))

    @pytest.mark.parametrize("time", [1, 2])
    def test_commits(postgres_session, time):
        assert isinstance(postgres_session, Session)
        postgres_session.add(User(name="ada"))
        postgres_session.commit()
        postgres_session.add(User(name="eve"))
        postgres_session.rollback()
        assert count(postgres_session) == 2
        assert postgres_session.scalar(text("SELECT max(id) FROM users")) == 2

    def test_makes_a_table(postgres_session):
        postgres_session.execute(text("ALTER TABLE users ADD COLUMN age int"))
        postgres_session.commit()

    def test_does_not_use_it(postgres_session):
        pass

    def test_sees_nothing_of_it(postgres_session):
        assert count(postgres_session) == 1
"""


@pytest.fixture
def shop(project: Project) -> Project:
    """A project with models, and a constraint that is deferred."""
    project.write("models.py", _MODELS)
    project.write("migrations/versions/0002_orders.py", _DEFERRED)
    project.write("test_users.py", _TESTS)
    return project


def test_a_session_that_is_rolled_back(shop: Project) -> None:
    """Tests commit, and find what the migrations left, sequences included; the last proof finds no difference."""
    done = shop.run("--pristine-proof=always", "-W", "error")
    assert done.status == 0, done.output
    assert "5 passed" in done.output
    assert "5 tests restored, 5 of them compared with the baseline" in done.output
    assert "committed past" not in done.output
    assert "no connection left open or in a transaction: none" in done.output


_ESCAPES = """
    import pytest
    from models import User
    from sqlalchemy import text

    def test_another_connection(postgres_session):
        with postgres_session.get_bind().engine.begin() as other:
            other.execute(text("INSERT INTO users (name) VALUES ('ada')"))

    def test_a_real_commit(postgres_session):
        postgres_session.add(User(name="ada"))
        postgres_session.flush()
        postgres_session.execute(text("COMMIT"))

    def test_the_schema(postgres_session):
        postgres_session.execute(text("CREATE TABLE more ()"))
        postgres_session.connection().connection.commit()

    def test_a_sequence(postgres_session, postgres_engine):
        with postgres_engine.connect() as other:
            other.execute(text("SELECT nextval('users_id_seq')"))

    @pytest.mark.parametrize("time", [1, 2])
    def test_may_commit(postgres_session, clean_database, postgres_engine, time):
        postgres_session.add(User(name="eve"))
        postgres_session.flush()
        with postgres_engine.begin() as other:
            other.execute(text("INSERT INTO users (name) VALUES ('ada')"))

    def test_may_commit_too(clean_database, postgres_session, postgres_engine):
        with postgres_engine.begin() as other:
            other.execute(text("INSERT INTO users (name) VALUES ('ada')"))

    def test_asks_later(postgres_session, request, postgres_engine):
        postgres_session.execute(text("LOCK TABLE users"))
        request.getfixturevalue("clean_database")
        postgres_session.rollback()
        with postgres_engine.begin() as other:
            other.execute(text("INSERT INTO users (name) VALUES ('ada')"))

    def test_sees_nothing_of_it(postgres_session):
        assert postgres_session.query(User.name).all() == [("root",)]
"""


def test_tests_that_escape(shop: Project) -> None:
    """A test that commits past its session is named and put back; one that asks for clean_database may commit."""
    shop.write("test_users.py", _ESCAPES)
    done = shop.run("--pristine-proof=always", "-p", "no:randomly")
    assert done.status == 0, done.output
    assert "9 passed" in done.output
    assert done.output.count("EscapedWarning: test_users.py::") == 3
    for name, what in (("another_connection", "users 1 row"), ("a_real_commit", "users 1 row"), ("the_schema", "all")):
        assert f"EscapedWarning: test_users.py::test_{name} committed {what}" in done.output
    assert "and in the end 3 tables" in done.output
    assert (
        "test_users.py::test_another_connection, test_users.py::test_a_real_commit, test_users.py::test_the_schema "
        "committed past a session that is rolled back" in done.output
    )


_FAILURES = """
    from models import User
    from sqlalchemy import text

    def test_fails(postgres_session):
        postgres_session.add(User(name="ada"))
        postgres_session.flush()
        postgres_session.execute(text("INSERT INTO orders VALUES (77)"))
        assert False

    def test_violates(postgres_session):
        postgres_session.execute(text("INSERT INTO orders VALUES (77)"))

    def test_goes_on(postgres_session):
        assert postgres_session.query(User.name).all() == [("root",)]
"""


def test_tests_that_fail(shop: Project) -> None:
    """A failure shows what was written in the session, and a deferred constraint that is violated fails a test."""
    shop.write("test_users.py", _FAILURES)
    done = shop.run("-p", "no:randomly")
    assert done.status == 1
    assert "2 passed" in done.output
    assert "1 failed" in done.output
    assert "1 error" in done.output
    assert "ERROR at teardown of test_violates" in done.output
    assert "sought:  to check the deferred constraints of what the test did not commit" in done.output
    assert done.output.count('violates foreign key constraint "orders_who_fkey"') == 2  # and the summary
    assert "in a session that is rolled back: orders 1 inserted, users 1 inserted" in done.output
    assert "INSERT INTO orders VALUES (77)" in done.output
    assert "database pristine after every test: 3 tests restored" in done.output


def test_the_database_of_a_failed_test(shop: Project) -> None:
    """A database that is kept shows what the failed test wrote in its session."""
    shop.write("test_users.py", _FAILURES.replace("VALUES (77)", "VALUES (1)"))
    shop.write("conftest.py", """
        import pytest
        from sqlalchemy import create_engine, text

        @pytest.fixture(scope="session", autouse=True)
        def look(request, postgres_url):
            yield
            engine = create_engine(postgres_url.set(database="postgres"))
            names = "SELECT datname FROM pg_database WHERE datname LIKE '%failed%'"
            with engine.connect() as connection:
                name = connection.execute(text(names)).scalars().all()[-1]
            kept = create_engine(postgres_url.set(database=name))
            with kept.connect() as connection:
                users = connection.execute(text("SELECT name FROM users ORDER BY 1")).scalars().all()
                print("kept:", users, connection.execute(text("SELECT count(*) FROM orders")).scalar_one())
            kept.dispose()
            engine.dispose()
    """)  # fmt: skip
    done = shop.run("-s", "-p", "no:randomly", "--pristine-keep-failed=1")
    assert "kept: ['ada', 'root'] 1" in done.output, done.output
    assert "committed past" not in done.output


_APPLICATION = """
    from models import User
    from sqlalchemy import create_engine
    from sqlalchemy.orm import scoped_session, sessionmaker

    engine = create_engine("postgresql+psycopg://nowhere.invalid/app")
    make = sessionmaker(engine)
    current = scoped_session(make)

    def sign_up(name):
        with make.begin() as session:
            session.add(User(name=name))

    def rename(name):
        current.query(User).filter_by(name="root").one().name = name
        current.commit()
        current.remove()
"""


def test_the_sessions_of_an_application(shop: Project) -> None:
    """An application's sessionmaker is bound to the same transaction, by the recipe of the documentation."""
    shop.write("app.py", _APPLICATION)
    shop.write("conftest.py", """
        import app
        import pytest

        @pytest.fixture(autouse=True)
        def application(postgres_session, monkeypatch):
            monkeypatch.setitem(app.make.kw, "bind", postgres_session.get_bind())
            monkeypatch.setitem(app.make.kw, "join_transaction_mode", "create_savepoint")
            return app
    """)  # fmt: skip
    shop.write("test_users.py", """
        import pytest
        from models import User

        @pytest.mark.parametrize("time", [1, 2])
        def test_signs_up(application, postgres_session, time):
            postgres_session.add(User(name="eve"))
            postgres_session.commit()
            application.sign_up("ada")
            application.rename("admin")
            names = postgres_session.query(User.name).order_by(User.name).all()
            assert names == [("ada",), ("admin",), ("eve",)]
    """)  # fmt: skip
    done = shop.run("-W", "error")
    assert done.status == 0, done.output
    assert "2 passed" in done.output


def test_a_session_of_something_else(shop: Project) -> None:
    """A project that replaces the session by one of SQLite is told so by the checklist."""
    shop.write("conftest.py", """
        import pytest
        from sqlalchemy import create_engine
        from sqlalchemy.orm import Session

        @pytest.fixture
        def postgres_session(request):
            with Session(create_engine("sqlite://")) as session:
                yield session
    """)  # fmt: skip
    shop.write("test_users.py", """
        def test_elsewhere(postgres_session):
            pass

        def test_here(postgres_engine):
            pass
    """)  # fmt: skip
    done = shop.run("-v")
    assert "test_users.py::test_elsewhere: postgres_session is sqlite" in done.output, done.output


def test_an_application_with_threads(shop: Project) -> None:
    """The endpoints of FastAPI run in threads, and use the session that replaces their own."""
    shop.write("test_users.py", """
        import pytest
        from fastapi import Depends, FastAPI
        from fastapi.testclient import TestClient
        from models import User
        from sqlalchemy.orm import Session

        app = FastAPI()

        def get_session():
            raise NotImplementedError

        @app.post("/users")
        def sign_up(name: str, session: Session = Depends(get_session)):
            session.add(User(name=name))
            session.commit()

        @pytest.fixture
        def client(postgres_session):
            app.dependency_overrides[get_session] = lambda: postgres_session
            yield TestClient(app)
            del app.dependency_overrides[get_session]

        @pytest.mark.parametrize("time", [1, 2])
        def test_signs_up(client, postgres_session, time):
            assert client.post("/users?name=ada").status_code == 200
            assert [user.name for user in postgres_session.query(User).order_by(User.id)] == ["root", "ada"]
    """)  # fmt: skip
    done = shop.run()
    assert done.status == 0, done.output
    assert "2 passed" in done.output


_ASYNC = """
    import asyncio

    import pytest
    from models import User
    from sqlalchemy import func, select, text
    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

    pytestmark = pytest.mark.{mark}

    async def count(session):
        return await session.scalar(select(func.count()).select_from(User))

    @pytest.fixture
    def anyio_backend():
        return "asyncio"

    @pytest.mark.parametrize("time", [1, 2])
    async def test_commits(postgres_async_session, postgres_session, time):
        assert isinstance(postgres_async_session, AsyncSession)
        postgres_async_session.add(User(name="ada"))
        await postgres_async_session.commit()
        async with postgres_async_session.begin_nested():
            postgres_async_session.add(User(name="eve"))
        await postgres_async_session.rollback()
        assert await count(postgres_async_session) == 2
        assert postgres_session.query(User).count() == 1

    async def test_makes_sessions(postgres_async_session):
        make = async_sessionmaker(await postgres_async_session.connection(), join_transaction_mode="create_savepoint")
        async with make.begin() as session:
            session.add(User(name="ada"))
        assert await count(postgres_async_session) == 2

    async def test_a_violation(postgres_async_session):
        await postgres_async_session.execute(text("INSERT INTO orders VALUES (77)"))
        with pytest.raises(IntegrityError, match="orders_who_fkey"):
            await postgres_async_session.commit()
        await postgres_async_session.rollback()
        await postgres_async_session.execute(text("INSERT INTO orders VALUES (1)"))
        await postgres_async_session.commit()

    async def test_another_violation(postgres_async_session):
        await postgres_async_session.execute(text("INSERT INTO orders VALUES (77)"))

    async def test_a_failure(postgres_async_session):
        await postgres_async_session.execute(text("INSERT INTO orders VALUES (77)"))
        assert False

    async def test_escapes(postgres_async_session):
        postgres_async_session.add(User(name="ada"))
        await postgres_async_session.flush()
        connection = await postgres_async_session.connection()
        await (await connection.get_raw_connection()).driver_connection.{commit}
        await postgres_async_session.commit()
        await postgres_async_session.execute(text("INSERT INTO users (name) VALUES ('later')"))

    async def test_sees_nothing_of_it(postgres_async_session):
        assert await count(postgres_async_session) == 1
"""
_COMMITS = {"psycopg": "commit()", "asyncpg": 'execute("COMMIT")'}


@pytest.mark.parametrize(
    ("driver", "plugin", "mark", "options"),
    [
        ("psycopg", "asyncio", "asyncio", ("-o", "asyncio_default_fixture_loop_scope=function")),
        ("asyncpg", "asyncio", "asyncio", ("-o", "asyncio_default_fixture_loop_scope=function")),
        ("asyncpg", "asyncio", "asyncio(loop_scope='module')", ("-o", "asyncio_default_fixture_loop_scope=function")),
        ("psycopg", "anyio", "anyio", ()),
    ],
)
def test_an_asynchronous_session(shop: Project, driver: str, plugin: str, mark: str, options: tuple[str, ...]) -> None:
    """The asynchronous session gives the same guarantees, whoever runs the loop, and however long it lives."""
    shop.write("test_users.py", _ASYNC.format(mark=mark, commit=_COMMITS[driver]))
    done = shop.run("-p", plugin, *options, "--pristine-proof=always", PRISTINE_ASYNC_DRIVER=driver)
    assert done.status == 1
    assert "7 passed" in done.output, done.output
    assert "1 failed" in done.output
    assert "1 error" in done.output
    assert "ERROR at teardown of test_another_violation" in done.output
    assert "sought:  to check the deferred constraints" in done.output
    assert done.output.count("EscapedWarning: test_users.py::") == 1
    assert "EscapedWarning: test_users.py::test_escapes committed users 1 row" in done.output
    assert "8 tests restored, 8 of them compared with the baseline" in done.output
    assert "no connection left open or in a transaction: none" in done.output
    assert "Warning: coroutine" not in done.output


def test_a_plain_test_with_loops_of_its_own(shop: Project) -> None:
    """A plain test that runs loops has what it did rolled back as each of them ends."""
    shop.write("test_users.py", """
        import asyncio
        from models import User

        async def sign_up(session):
            session.add(User(name="ada"))
            await session.commit()
            return (await session.connection()).sync_connection.in_transaction()

        def test_runs_loops(postgres_async_session):
            assert asyncio.run(sign_up(postgres_async_session))
            assert asyncio.run(sign_up(postgres_async_session))
    """)  # fmt: skip
    done = shop.run("--pristine-proof=always", "-W", "error")
    assert done.status == 0, done.output
    assert "1 passed" in done.output
