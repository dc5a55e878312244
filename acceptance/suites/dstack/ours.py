# Appended by the acceptance tests: the database fixtures, with pytest-pristine. Everything else is theirs.
import pytest_asyncio

from dstack._internal.server.db import Database, override_db


@pytest.fixture(scope="session")
def apply_migrations(postgres_server):
    """dstack's own history instead of `create_all`."""
    import dstack._internal.server
    from pytest_pristine import Alembic

    config = Path(dstack._internal.server.__file__).parent / "alembic.ini"
    with postgres_server.migrated_database(Alembic(config)) as database:
        yield database


@pytest_asyncio.fixture(scope="session")
async def postgres_db(postgres_url):
    """Their database object with their engine, on our database."""
    db = Database(postgres_url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False))
    yield db
    await db.engine.dispose()


@pytest_asyncio.fixture
async def test_db(clean_database, postgres_db):
    """Restored after each test instead of a DELETE from every table before it."""
    override_db(postgres_db)
    yield postgres_db
