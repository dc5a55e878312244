"""The engine, made when this module is imported."""

from collections.abc import AsyncIterator

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from bank.settings import settings

# Sessions may be ended by the server at any time. In tests they are when the database is made anew.
engine = create_async_engine(str(settings.database_url), pool_pre_ping=True)
_new_session = async_sessionmaker(engine, expire_on_commit=False)


async def session() -> AsyncIterator[AsyncSession]:
    """A session for a request."""
    async with _new_session() as opened:
        yield opened
