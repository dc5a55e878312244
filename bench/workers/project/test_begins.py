"""As little as a test can do with a database."""

from collections.abc import Callable

from sqlalchemy import Engine, text


def test_begins(database: Engine, begin: Callable[[], None], number: int) -> None:
    """It connects."""
    begin()
    with database.connect() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1, number
