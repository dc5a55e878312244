"""The same test many times: it commits three rows in each of three tables."""

import psycopg
from schema import Work


def test_writes(number: int, database: psycopg.Connection, work: Work) -> None:
    """It finds nothing, unless nobody isolates, and leaves nine rows."""
    with database.pipeline(), database.transaction():
        work.do(database)
    assert work.count(database) == 9 or database.info.dbname == "nothing", number
