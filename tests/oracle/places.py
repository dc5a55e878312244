"""Databases that stories happen in: a template, a copy of it, and sessions that owe nothing to the product."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from tests.conftest import SUPERUSER, Server, new_server
from tests.oracle.stories import CLIENTS, DATABASE, ROOT

Client = psycopg.Connection[tuple[object, ...]]

# A role that owns nothing, for grants.
OTHER = "oracle_other"

# No statement of a test waits long for another session of it.
_PATIENCE = "-c lock_timeout=200 -c statement_timeout=20000"
_END = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
_numbers = itertools.count()


@contextmanager
def preparing_server() -> Iterator[Server]:
    """A server as other tests have it, on which transactions can be prepared: by default they cannot."""
    with new_server("max_prepared_transactions = 10\n") as server:
        with server.connect() as client:
            client.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(OTHER)))
        yield server


@dataclass(frozen=True)
class World:
    """A server, a role on it that restores, and a way for it to find changes.

    Attributes:
        server: The server.
        role: Its `postgres` database, as that role.
        probing: The WAL is not read, where it could be.
    """

    server: Server
    role: URL
    probing: bool = False

    @property
    def superuser(self) -> bool:
        """Whether the role is one."""
        return self.role.username == SUPERUSER


@dataclass
class Place:
    """A template, and a copy of it that tests work in.

    Attributes:
        world: Where it is.
        ddl: What made the template.
        failed: Those of these statements that failed, each with the reason.
        rebuilds: How often the copy was made anew.
    """

    world: World
    ddl: Sequence[str]
    failed: list[tuple[str, str]] = field(default_factory=list)
    rebuilds: int = 0
    _clients: dict[str, Client] = field(default_factory=dict)

    def __post_init__(self) -> None:
        number = next(_numbers)
        self.template, self.name = f"oracle_template_{number}", f"oracle_copy_{number}"

    def build(self) -> None:
        """Make the template and the copy. What Postgres will not have made is left out."""
        self._create(self.template, "template0")
        with self._connect(self.world.role, self.template) as client:
            for statement in self.ddl:
                try:
                    client.execute(_named(statement, self.template))
                except psycopg.Error as error:
                    self.failed.append((statement, str(error)))
        self._copy()

    def rebuild(self) -> None:
        """Make the copy anew: what isolation calls when it cannot put it back."""
        self.rebuilds += 1
        self._drop(self.name)
        self._copy()
        for client in self._clients.values():
            client.close()

    def remove(self) -> None:
        """End all sessions and drop both databases."""
        for who in list(self._clients):
            self.leave(who)
        self._drop(self.name)
        self._drop(self.template)

    @property
    def url(self) -> URL:
        """The copy, as the role that restores."""
        return self.world.role.set(database=self.name)

    def client(self, who: str) -> Client:
        """A session of the test's: it lives until it is closed or ended."""
        if who not in self._clients or self._clients[who].closed:
            url = self.world.server.url if who == ROOT else self.world.role
            self._clients[who] = self._connect(url, self.name)
        return self._clients[who]

    def leave(self, who: str) -> None:
        """Close a session, and wait until the server has ended what it had begun."""
        client = self._clients.pop(who, None)
        if client is None or client.closed:
            return
        pid = client.info.backend_pid
        client.close()
        with self.world.server.connect() as other:
            while other.execute("SELECT FROM pg_stat_activity WHERE pid = %s", [pid]).fetchone() is not None:
                time.sleep(0.001)

    def open(self) -> list[Client]:
        """Sessions that are in a transaction."""
        busy = psycopg.pq.TransactionStatus.INTRANS, psycopg.pq.TransactionStatus.INERROR
        return [client for client in self._clients.values() if not client.closed and _status(client) in busy]

    def named(self, statement: str) -> str:
        """A statement with the name of the copy in it."""
        return _named(statement, self.name)

    def look(self) -> Client:
        """A fresh session of the superuser in the copy, for the oracle."""
        return self._connect(self.world.server.url, self.name)

    def _connect(self, url: URL, database: str) -> Client:
        return psycopg.connect(
            host=url.host, port=url.port, user=url.username, password=str(url.password), dbname=database,
            autocommit=True, prepare_threshold=None, options=_PATIENCE, application_name="story",
        )  # fmt: skip

    def _create(self, name: str, template: str) -> None:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY")
        with self.world.server.connect() as client:
            client.execute(statement.format(*map(sql.Identifier, (name, template, str(self.world.role.username)))))

    def _copy(self) -> None:
        self._create(self.name, self.template)
        with self._connect(self.world.role, self.name) as client:
            for statement in self.ddl:
                if DATABASE in statement:
                    with suppress(psycopg.Error):
                        client.execute(self.named(statement))

    def _drop(self, name: str) -> None:
        with self.world.server.connect() as client:
            query = "SELECT gid FROM pg_prepared_xacts WHERE database = %s"
            prepared = client.execute(query, [name]).fetchall()
        if prepared:
            with self._connect(self.world.server.url, name) as client:
                for (gid,) in prepared:
                    client.execute(sql.SQL("ROLLBACK PREPARED {}").format(sql.Literal(gid)))
        with self.world.server.connect() as client:
            # FORCE alone would wait for a transaction that has something to say of the database.
            client.execute(_END, [name])
            client.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _named(statement: str, database: str) -> str:
    return statement.replace(DATABASE, database)


def _status(client: Client) -> psycopg.pq.TransactionStatus:
    return client.info.transaction_status


ALL = (*CLIENTS, ROOT)
