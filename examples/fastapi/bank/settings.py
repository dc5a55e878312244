"""The settings, from the environment."""

from pydantic import PostgresDsn
from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    """What the environment says.

    Attributes:
        database_url: `DATABASE_URL`.
    """

    database_url: PostgresDsn


settings = Settings()
