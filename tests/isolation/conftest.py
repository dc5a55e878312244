"""What tests of isolation share: databases full of what Postgres has, on every server and for both kinds of roles."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.isolation.proof import OFF
from pytest_pristine.postgres import capabilities, connections
from tests.conftest import Server, clean_environment, new_role, wheel_binaries

Client = psycopg.Connection[tuple[object, ...]]

ZOO = Path(__file__).with_name("zoo.sql")
ROLES = ("superuser", "owner")
_numbers = itertools.count()

# Whatever a tool could have left behind, temporary schemas included.
_OBJECTS = """
    SELECT 'relation', oid::regclass::text FROM pg_class WHERE relnamespace::regnamespace::text !~ '^pg_toast'
    UNION ALL SELECT 'function', oid::regprocedure::text FROM pg_proc
    UNION ALL SELECT 'type', oid::regtype::text FROM pg_type WHERE typnamespace::regnamespace::text !~ '^pg_toast'
    UNION ALL SELECT 'trigger', tgname || ' on ' || tgrelid::regclass::text || tgenabled::text FROM pg_trigger
    UNION ALL SELECT 'schema', nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
    UNION ALL SELECT 'extension', extname FROM pg_extension
    ORDER BY 1, 2
"""

_VIEWS = "SELECT oid, oid::regclass::text, relispopulated FROM pg_class WHERE relkind = 'm' ORDER BY 2"


@dataclass(frozen=True)
class Zoo:
    """A database with one of everything, never written to, and what pg_dump says of it."""

    name: str
    dump: str
    objects: list[tuple[object, ...]]


@dataclass
class Place:
    """A database, and clients in it that owe nothing to the product.

    Attributes:
        server: Where it is.
        url: The database, as the role that is restored with.
        replica: The role may set `session_replication_role`.
    """

    server: Server
    url: URL
    replica: bool
    original: Zoo | None = None
    proven: bool = False
    template: str = "template0"
    ddl: str = ""
    bare: bool = False
    rebuilds: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)

    def prove(self) -> None:
        """Check that this copy is as the original is, to the last row."""
        assert self.original is not None
        assert self.dump() == self.original.dump
        self.proven = True

    @property
    def name(self) -> str:
        """The database's name."""
        return str(self.url.database)

    def client(self) -> Client:
        """A connection of the same role."""
        client = self.server.connect(url=self.url)
        # A restore may have ended its session.
        self._stack.callback(client.close)
        return client

    def superuser(self) -> Client:
        """A connection of the superuser."""
        client = self.server.connect(self.name)
        self._stack.callback(client.close)
        return client

    def run(self, *statements: str) -> None:
        """Run statements, each in a transaction of its own, on one connection."""
        with self.server.connect(url=self.url) as client:
            for statement in statements:
                client.execute(statement)  # type: ignore[call-overload]

    def ask(self, query: str) -> str:
        """What psql answers, as superuser."""
        return self.server.ask(query, self.name)

    def make(self) -> None:
        """Make the database."""
        statement = "CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY"
        words = map(sql.Identifier, (self.name, self.template, str(self.url.username)))
        with self.server.connect() as client:
            client.execute(sql.SQL(statement).format(*words))
        if self.bare:
            self.empty()
        if self.ddl:
            self.run(self.ddl)

    def empty(self) -> None:
        """Drop all that is in the database: sooner done than making another."""
        with self.server.connect(self.name) as client:
            client.execute(_EMPTY)

    def drop(self) -> None:
        """End all sessions in the database, and drop it."""
        with self.server.connect() as client:
            client.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(self.name)))

    def rebuild(self) -> None:
        """Make the database anew."""
        self.rebuilds += 1
        self.drop()
        self.make()

    def isolation(self, timeout: float = 5, include: str = "*", exclude: str = "", proof: str = OFF) -> Isolation:
        """Record the present state as the baseline."""
        coverage = Coverage(tuple(include.split()), tuple(exclude.split()))
        with connections.connect(self.url, "test") as connection:
            can = capabilities.inspect(connection)
        isolation = Isolation(self.url, coverage, capabilities=can, timeout=timeout, rebuild=self.rebuild, proof=proof)
        self._stack.callback(isolation.close)
        # The first one asks in any case; those after it read the WAL where they may.
        isolation.restore()
        return isolation

    def dump(self, *options: str) -> str:
        """The database in the words of pg_dump, rows in an order of their own, and what materialized views hold."""
        url = self.server.url.set(drivername="postgresql", database=self.name)
        where = url.render_as_string(hide_password=False)
        command = [wheel_binaries().program("pg_dump"), "--large-objects", *options, "--dbname", where]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
        assert done.returncode == 0, done.stderr
        return _sorted_rows(done.stdout) + self._views()

    def _views(self) -> str:
        with self.server.connect(self.name) as client:
            lines = [
                f"{name}: {_rows(client, str(name)) if populated else 'not populated'}"
                for _, name, populated in client.execute(_VIEWS).fetchall()
            ]
        return "\n".join(lines)

    def objects(self) -> list[tuple[object, ...]]:
        """All there is in the catalogues, in the words of a second client."""
        with self.server.connect(self.name) as client:
            return client.execute(_OBJECTS).fetchall()

    def close(self) -> None:
        """End what was opened."""
        self._stack.close()


def _rows(client: Client, relation: str) -> object:
    query = f"SELECT array_agg(v::text ORDER BY v::text) FROM {relation} v"
    return client.execute(query).fetchone()  # type: ignore[call-overload]


def _sorted_rows(dump: str) -> str:
    lines: list[str] = []
    rows: list[str] | None = None
    for line in dump.splitlines():
        if rows is not None and line != "\\.":
            rows.append(line)
            continue
        if rows is not None:
            lines += sorted(rows)
            rows = None
        elif line.startswith("COPY "):
            rows = []
        # These two carry a random word.
        if not line.startswith(("\\restrict", "\\unrestrict")):
            lines.append(line)
    return "\n".join(lines) + "\n"


MakePlace = Callable[[str], Place]


@dataclass(frozen=True)
class World:
    """A server, and a role on it that restores.

    Attributes:
        server: The server.
        role: Its `postgres` database, as that role.
        replica: The role may set `session_replication_role`.
    """

    server: Server
    role: URL
    replica: bool

    @contextmanager
    def place(self, ddl: str = "", template: str = "template0") -> Iterator[Place]:
        """A database of the role's, for a while."""
        name = f"place_{next(_numbers)}"
        place = Place(self.server, self.role.set(database=name), self.replica, template=template, ddl=ddl)
        place.make()
        try:
            yield place
        finally:
            place.close()
            place.drop()


@pytest.fixture(scope="session", params=ROLES)
def world(request: pytest.FixtureRequest, server: Server) -> Iterator[World]:
    """Every server there is, for a superuser and for a role that owns its tables and may create databases."""
    if request.param == "superuser":
        yield World(server, server.url, replica=True)
    else:
        with new_role(server, "CREATEDB") as role:
            yield World(server, role, replica=False)


@pytest.fixture(scope="session")
def one_world(server: Server) -> World:
    """The superuser on the wheel's server, for behaviour that neither changes."""
    return World(server, server.url, replica=True)


@pytest.fixture(scope="session")
def zoo(world: World) -> Iterator[Zoo]:
    """The zoo of this server and role."""
    with world.place(ZOO.read_text(encoding="utf-8")) as place:
        yield Zoo(place.name, place.dump(), place.objects())


class Herd:
    """Copies of the zoo: one after another is handed out until a test does not prove it to be as it was."""

    def __init__(self, world: World, zoo: Zoo) -> None:
        self._world = world
        self._zoo = zoo
        self._stack = ExitStack()
        self._place: Place | None = None

    def take(self) -> Place:
        """A copy that is as the zoo is; it is not handed out again unless it is given back."""
        place = self._place or self._stack.enter_context(self._world.place(template=self._zoo.name))
        self._place = None
        return place

    def give_back(self, place: Place) -> None:
        """Take back a copy that was proven to be as it was."""
        place.close()
        self._place = place

    def close(self) -> None:
        """Drop them all."""
        self._stack.close()


@pytest.fixture(scope="session")
def _herd(world: World, zoo: Zoo) -> Iterator[Herd]:
    herd = Herd(world, zoo)
    yield herd
    herd.close()


@pytest.fixture
def animal(_herd: Herd, zoo: Zoo) -> Iterator[Place]:
    """A copy of the zoo, to be written to. A test that proves that it is as before hands it to the next one."""
    place = _herd.take()
    place.original = zoo
    yield place
    if place.proven:
        place.proven = False
        _herd.give_back(place)


MakePlace = Callable[[str], Place]


_EMPTY = """
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' LOOP
            EXECUTE format('DROP EXTENSION %I CASCADE', name);
        END LOOP;
        FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
            EXECUTE format('DROP SCHEMA %I CASCADE', name);
        END LOOP;
    END $$;
    SELECT lo_unlink(oid) FROM pg_largeobject_metadata;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
"""


@contextmanager
def _emptied(bare: Place) -> Iterator[MakePlace]:
    """The one bare database, filled by the first call and emptied in the end."""

    def fill(ddl: str) -> Place:
        bare.ddl = ddl
        bare.rebuilds = 0
        bare.run(ddl)
        return bare

    yield fill
    bare.close()
    bare.ddl = ""
    if bare.rebuilds:
        # The test changed the schema, and did it perhaps in ways that emptying does not undo.
        bare.drop()
        bare.make()
    else:
        bare.empty()


@pytest.fixture(scope="session")
def _bare(world: World) -> Iterator[Place]:
    with world.place() as place:
        place.bare = True
        place.empty()
        yield place


@pytest.fixture
def place(_bare: Place) -> Iterator[MakePlace]:
    """A function that fills an empty database with DDL."""
    with _emptied(_bare) as fill:
        yield fill


@pytest.fixture(scope="session")
def _one_bare(one_world: World) -> Iterator[Place]:
    with one_world.place() as place:
        place.bare = True
        place.empty()
        yield place


@pytest.fixture
def one_place(_one_bare: Place) -> Iterator[MakePlace]:
    """A function that fills an empty database with DDL, for behaviour that is the same in every world."""
    with _emptied(_one_bare) as fill:
        yield fill
