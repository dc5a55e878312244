"""What the suites share that do not have their database made for them."""

from __future__ import annotations

import os

import schema
import servers
from psycopg import sql
from servers import Connection
from sqlalchemy.engine import URL, make_url


def url() -> URL:
    """The server's database `postgres`."""
    return make_url(os.environ["BENCH_SERVER"])


def create(name: str) -> Connection:
    """Make a database with the schema; gives a connection to it."""
    with servers.connect(url()) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    made = servers.connect(url().set(database=name))
    fill(made)
    return made


def fill(connection: Connection) -> None:
    """Make the schema."""
    schema.create(connection, int(os.environ["BENCH_TABLES"]), int(os.environ["BENCH_CHAIN"]))
