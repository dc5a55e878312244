"""What a database has beside its contents: read from one, and given to another or to the same one later."""

from __future__ import annotations

import logging
import secrets
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from pytest_pristine.postgres import connections, databases, marks, properties
from pytest_pristine.postgres.marks import Mark
from tests.conftest import SUPERUSER, new_database, new_role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import URL

    from pytest_pristine.postgres.connections import Connection
    from tests.conftest import Server

MARK = Mark(marks.CLONE, run="0123abcd", project="app")


@pytest.fixture
def connection(server: Server) -> Iterator[Connection]:
    """The product's own connection to the maintenance database."""
    with connections.connect(server.url, "test") as opened:
        yield opened


@pytest.fixture
def name(connection: Connection) -> Iterator[str]:
    """The name of a database that a test may make."""
    chosen = f"db {secrets.token_hex(4)} \"é'"
    yield chosen
    if databases.find(connection, chosen) is not None:
        databases.drop(connection, chosen)


def copy(connection: Connection, source: str, target: str) -> None:
    """Give one database what another has."""
    properties.apply(connection, target, properties.read(connection, source))


PROPERTIES = """
    SELECT pg_get_userbyid(d.datdba),
           (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(d.datacl) a),
           (SELECT array_agg((coalesce(r.rolname, '-'), s.setconfig)::text ORDER BY r.rolname)
            FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole WHERE s.setdatabase = d.oid)
    FROM pg_database d WHERE d.datname = %s
"""


def test_copy_properties(server: Server, connection: Connection, name: str) -> None:
    """Owner, settings, settings of single roles and grants of the source are the target's too, word for word."""
    with (
        new_role(server, "") as owner,
        new_role(server, "") as reader,
        new_database(server, owner=owner.username) as source,
        server.connect() as opened,
    ):
        where, role = sql.Identifier(str(source.database)), sql.Identifier(str(reader.username))
        for statement in (
            'ALTER DATABASE {0} SET search_path TO app, "My Schema", "$user", public',
            "ALTER DATABASE {0} SET statement_timeout TO '7s'",
            "ALTER DATABASE {0} SET \"app.greeting\" TO 'it''s, \"quoted\" = yes'",
            "ALTER DATABASE {0} SET datestyle TO 'ISO, DMY'",
            "ALTER ROLE {1} IN DATABASE {0} SET search_path TO only_mine",
            "ALTER ROLE {1} IN DATABASE {0} SET work_mem TO '8MB'",
            "REVOKE ALL ON DATABASE {0} FROM PUBLIC",
            "GRANT CONNECT ON DATABASE {0} TO {1} WITH GRANT OPTION",
            "GRANT TEMPORARY ON DATABASE {0} TO PUBLIC",
        ):
            opened.execute(sql.SQL(statement).format(where, role))
        databases.create(connection, name, MARK)
        copy(connection, str(source.database), name)
        wanted = opened.execute(PROPERTIES, [source.database]).fetchone()
        assert opened.execute(PROPERTIES, [name]).fetchone() == wanted
        for database in (str(source.database), name):
            with server.connect(database) as inside:
                shown = inside.execute("SELECT current_setting('app.greeting'), current_setting('search_path')")
                assert shown.fetchone() == ('it\'s, "quoted" = yes', 'app, "My Schema", "$user", public')


@pytest.mark.parametrize("setting", ["search_path TO ''", "search_path TO a, ''", "temp_tablespaces TO ''"])
def test_copy_an_empty_list(server: Server, connection: Connection, name: str, setting: str) -> None:
    """A search path that was emptied on purpose is empty in the copy."""
    with new_database(server) as url, server.connect() as opened:
        source = str(url.database)
        opened.execute(f"ALTER DATABASE {source} SET {setting}")
        databases.create(connection, name, MARK)
        copy(connection, source, name)
        assert opened.execute(PROPERTIES, [name]).fetchone() == opened.execute(PROPERTIES, [source]).fetchone()


def test_copy_properties_of_a_plain_database(server: Server, connection: Connection, name: str) -> None:
    """Where the source has nothing special, the target has nothing special: PUBLIC can connect to both."""
    with new_database(server) as url, server.connect() as opened:
        source = str(url.database)
        databases.create(connection, name, MARK)
        copy(connection, source, name)
        assert opened.execute(PROPERTIES, [name]).fetchone() == (SUPERUSER, None, None)


def test_copy_properties_as_an_ordinary_role(server: Server, name: str) -> None:
    """A role that is no superuser copies what is its own to give, and fails on nothing else."""
    with (
        new_role(server, "CREATEDB") as owner,
        new_role(server, "") as reader,
        new_database(server, owner=owner.username) as source,
        server.connect() as opened,
    ):
        where, role = sql.Identifier(str(source.database)), sql.Identifier(str(reader.username))
        for statement in (
            "ALTER DATABASE {0} SET search_path TO app, public",
            "ALTER ROLE {1} IN DATABASE {0} SET work_mem TO '8MB'",
            "GRANT CREATE ON DATABASE {0} TO {1}",
        ):
            opened.execute(sql.SQL(statement).format(where, role))
        with connections.connect(owner, "test") as connection:
            databases.create(connection, name, MARK)
            copy(connection, str(source.database), name)
        found = opened.execute(PROPERTIES, [name]).fetchone()
        assert found is not None
        owned_by, grants, values = found
        assert owned_by == owner.username
        assert grants == (opened.execute(PROPERTIES, [source.database]).fetchone() or ())[1]
        assert values == ['(-,"{""search_path=app, public""}")']
        opened.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


CHANGES = (
    "ALTER DATABASE {0} SET work_mem TO '9MB'",
    "ALTER DATABASE {0} SET lock_timeout TO '3s'",
    "ALTER DATABASE {0} RESET search_path",
    "ALTER ROLE {1} IN DATABASE {0} SET work_mem TO '8MB'",
    "GRANT CREATE ON DATABASE {0} TO {1} WITH GRANT OPTION",
    "REVOKE CONNECT ON DATABASE {0} FROM PUBLIC",
)


@pytest.mark.parametrize("attributes", ["SUPERUSER", "CREATEROLE", ""])
def test_what_was_changed_since_is_put_back(server: Server, attributes: str) -> None:
    """Applied to the database that they were read from, properties undo what was set, reset, granted and revoked."""
    with new_role(server, attributes) as role, new_database(server, owner=role.username) as source:
        where, who = sql.Identifier(str(source.database)), sql.Identifier(str(role.username))
        with server.connect() as opened, connections.connect(role, "test") as connection:
            opened.execute(sql.SQL("ALTER DATABASE {} SET search_path TO app, public").format(where))
            before = properties.read(connection, str(source.database))
            wanted = opened.execute(PROPERTIES, [source.database]).fetchone()
            for statement in CHANGES:
                connection.execute(sql.SQL(statement).format(where, who))
            assert properties.read(connection, str(source.database)) != before
            properties.apply(connection, str(source.database), before)
            assert properties.read(connection, str(source.database)) == before
            _, _, settings = opened.execute(PROPERTIES, [source.database]).fetchone() or ((),) * 3
            assert settings == (wanted or ())[2]


def test_grants_of_the_owner_are_the_next_owner_s(server: Server) -> None:
    """What the owner may do is not granted to that role by name in a database that belongs to another."""
    with new_role(server, "CREATEDB") as role, new_database(server) as source:
        with connections.connect(role, "test") as connection:
            own = f"own_{secrets.token_hex(4)}"
            databases.create(connection, own, MARK)
            copy(connection, str(source.database), own)
            connection.execute(f"REVOKE CONNECT ON DATABASE {own} FROM PUBLIC")  # type: ignore[call-overload]
            copy(connection, str(source.database), own)
        grants = server.ask(f"SELECT datacl::text FROM pg_database WHERE datname = '{own}'")
        assert SUPERUSER not in grants
        assert f"{role.username}=CTc/" in grants


def test_what_is_not_ours_to_change_is_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Settings and grants that only another role may change stay as they are, and the log says so."""
    with new_role(server, "") as role, new_database(server) as source, server.connect() as opened:
        name = str(source.database)
        with connections.connect(role, "test") as connection:
            before = properties.read(connection, name)
            opened.execute(f"ALTER DATABASE {name} SET work_mem TO '9MB'")  # type: ignore[call-overload]
            opened.execute(f"GRANT CREATE ON DATABASE {name} TO PUBLIC")  # type: ignore[call-overload]
            with caplog.at_level(logging.WARNING, "pytest_pristine"):
                properties.apply(connection, name, before)
        assert caplog.messages == [
            f"the setting work_mem of {name} is not ours to change",
            f"the grants on the database {name} are not ours to change",
        ]


def test_the_limit_of_sessions(server: Server, database: URL) -> None:
    """A database that is made in the place of another gets its limit of sessions."""
    with new_database(server) as other, connections.connect(server.url, "test") as connection:
        statement = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT 7").format(sql.Identifier(str(other.database)))
        connection.execute(statement)
        wanted = properties.read(connection, str(other.database))
        properties.apply(connection, str(database.database), wanted)
        assert properties.read(connection, str(database.database)).limit == 7
