"""A test that changes the schema is found out, and the database is made anew."""

from __future__ import annotations

import re

import psycopg
import pytest
from psycopg import sql

from pytest_pristine.errors import RestoreBlockedError, RestoreError
from tests.conftest import needs
from tests.isolation.conftest import MakePlace, Place

SCHEMA = """
    CREATE TYPE mood AS ENUM ('sad', 'glad');
    CREATE TABLE users (id serial PRIMARY KEY, name text DEFAULT 'x', mood mood);
    INSERT INTO users (name) VALUES ('root');
    CREATE TABLE posts (id int, user_id int REFERENCES users);
    CREATE INDEX by_name ON users (name);
    CREATE SEQUENCE numbers;
    CREATE VIEW names AS SELECT name FROM users;
    CREATE MATERIALIZED VIEW moods AS SELECT DISTINCT name AS mood FROM users;
    CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
    CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
    CREATE TRIGGER plain BEFORE INSERT ON posts FOR EACH ROW EXECUTE FUNCTION nothing();
    CREATE POLICY mine ON posts USING (true);
    COMMENT ON TABLE posts IS 'what users wrote';
    SELECT lo_from_bytea(4711, 'kept');
"""

# A statement that a test commits, and words of the message that names what it changed.
CHANGES = {
    "CREATE TABLE more (id serial PRIMARY KEY)": "table more",
    "CREATE TABLE more (); INSERT INTO users (name) VALUES ('a'); DROP TABLE posts": "no more table posts",
    "DROP TABLE posts": "no more table posts",
    "DROP TABLE users CASCADE": "no more table users",
    "ALTER TABLE users RENAME TO people": "table people",
    "ALTER TABLE users SET (toast.autovacuum_enabled = off)": "table users",
    "ALTER TABLE users ADD COLUMN age int": "column age of table users",
    "ALTER TABLE users DROP COLUMN mood CASCADE": "table users",
    "ALTER TABLE users ALTER COLUMN mood TYPE text": "column mood of table users",
    "ALTER TABLE users ALTER COLUMN name SET NOT NULL": "column name of table users",
    "ALTER TABLE users ALTER COLUMN name SET DEFAULT 'y'": "column name of table users",
    "ALTER TABLE users ADD CHECK (id > 0)": "constraint users_id_check on table users",
    "ALTER TABLE posts DROP CONSTRAINT posts_user_id_fkey": "posts_user_id_fkey on table posts",
    "ALTER TABLE posts DISABLE TRIGGER plain": "trigger plain on table posts",
    "DROP TRIGGER plain ON posts": "no more trigger plain on table posts",
    "ALTER TABLE posts ENABLE ROW LEVEL SECURITY": "table posts",
    "DROP POLICY mine ON posts": "no more policy mine on table posts",
    "ALTER TYPE mood ADD VALUE 'calm'": "type mood",
    "CREATE TYPE pair AS (a int, b int)": "pair",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0)": "type positive",
    "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2'": "function one()",
    "DROP FUNCTION one()": "no more function one()",
    "CREATE INDEX ON users (mood)": "index users_mood_idx",
    "CLUSTER users USING by_name": "index by_name",
    "DROP INDEX by_name": "no more index by_name",
    "CREATE OR REPLACE VIEW names AS SELECT name, id FROM users": "view names",
    "DROP MATERIALIZED VIEW moods": "no more materialized view moods",
    "CREATE RULE twice AS ON INSERT TO posts DO ALSO NOTHING": "rule twice on table posts",
    "ALTER SEQUENCE numbers INCREMENT 7": "sequence numbers",
    "ALTER SEQUENCE users_id_seq CACHE 10": "sequence users_id_seq",
    "ALTER SEQUENCE users_id_seq OWNED BY NONE": "sequence users_id_seq",
    "CREATE EXTENSION citext; ALTER EXTENSION citext ADD TABLE posts": "extension citext",
    "CREATE STATISTICS st ON id, name FROM users": "statistics object",
    "CREATE SCHEMA side; CREATE TABLE side.t ()": "schema side",
    "CREATE EXTENSION hstore": "extension hstore",
    "COMMENT ON TABLE posts IS 'other'": "comment on table posts",
    "COMMENT ON COLUMN users.name IS 'new'": "comment on column name of table users",
    "COMMENT ON SCHEMA public IS 'other'": "comment on schema public",
    "GRANT SELECT ON users TO PUBLIC": "table users",
    "GRANT SELECT (name) ON users TO PUBLIC": "column name of table users",
    "GRANT ALL ON SCHEMA public TO PUBLIC": "schema public",
    "REVOKE EXECUTE ON FUNCTION one() FROM PUBLIC": "function one()",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC": "default privileges",
    "SELECT lo_put(4711, 0, 'lost')": "large object 4711",
    "SELECT lo_unlink(4711)": "large object 4711",
    "GRANT SELECT ON LARGE OBJECT 4711 TO PUBLIC": "large object 4711",
}  # fmt: skip

# What looks like a change of the schema, and is none.
HARMLESS = {
    "a temporary table": ["CREATE TEMP TABLE t (id serial PRIMARY KEY, e text); COMMENT ON TABLE t IS 'mine'"],
    "made and dropped": ["CREATE TABLE t (id serial)", "DROP TABLE t"],
    "rolled back": ["BEGIN; CREATE TABLE t (); ALTER TABLE users ADD age int; ROLLBACK"],
    "triggers off and on": ["ALTER TABLE posts DISABLE TRIGGER plain", "ALTER TABLE posts ENABLE TRIGGER plain"],
    "tables truncated": ["INSERT INTO posts VALUES (1, 1)", "TRUNCATE users, posts RESTART IDENTITY"],
    "files rewritten": ["VACUUM FULL", "REINDEX TABLE users", "ANALYZE"],
    "a view refreshed": ["INSERT INTO users (mood) VALUES ('sad')", "REFRESH MATERIALIZED VIEW moods"],
    "sequences": ["SELECT nextval('numbers')", "ALTER SEQUENCE numbers RESTART WITH 5", "SELECT nextval('numbers')"],
    "large objects": ["SELECT lo_from_bytea(0, 'new')", "SELECT lo_from_bytea(4712, 'new')"],
}


@pytest.mark.parametrize(
    "change", [pytest.param(change, marks=needs(*re.findall(r"CREATE EXTENSION (\w+)", change))) for change in CHANGES]
)
def test_a_changed_schema_is_made_anew(place: MakePlace, change: str) -> None:
    """After a test that changed the schema the database is as it was, and the restore says what was changed."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    made.run(change)
    restored = isolation.restore()
    assert CHANGES[change] in restored.remade
    assert made.rebuilds == 1
    assert made.dump() == before
    assert not isolation.restore()
    made.run("INSERT INTO users (name) VALUES ('b')")
    assert isolation.restore().rows == (("users", 1),)
    assert made.rebuilds == 1


@pytest.mark.parametrize("what", HARMLESS)
def test_what_is_no_change_of_the_schema(place: MakePlace, what: str) -> None:
    """What only looks like a change of the schema is put back without making the database anew."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    client = made.client()
    for statement in HARMLESS[what]:
        client.execute(statement)  # type: ignore[call-overload]
    isolation.restore()
    assert made.dump() == before
    assert not isolation.restore()
    client.close()
    isolation.restore()
    assert made.rebuilds == 0


@pytest.mark.parametrize("change", [
    "ALTER DATABASE {} SET work_mem = '1MB'", "GRANT CONNECT ON DATABASE {} TO pg_monitor",
    "COMMENT ON DATABASE {} IS 'other'", "ALTER ROLE CURRENT_USER IN DATABASE {} SET work_mem = '1MB'",
    "ALTER DATABASE {} CONNECTION LIMIT 50",
])  # fmt: skip
def test_properties_of_the_database(place: MakePlace, change: str) -> None:
    """Settings, grants, limits and the comment of the database are part of what is pristine."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump("--create")
    made.run(sql.SQL(change).format(sql.Identifier(made.name)).as_string(None))  # type: ignore[arg-type]
    assert "settings, grants or comment of the database" in isolation.restore().remade
    assert made.dump("--create") == before


@pytest.mark.parametrize(("change", "catalogue"), [
    ("REVOKE USAGE ON TYPE mood FROM PUBLIC", "pg_type"), ("ALTER TABLE users ADD age int", "pg_class"),
    ("COMMENT ON TABLE posts IS 'other'", "pg_description"), ("ALTER FUNCTION one() STABLE", "pg_proc"),
    ("ALTER TYPE mood ADD VALUE 'mad'", "pg_enum"),
    ("ALTER DATABASE {} SET work_mem = '1MB'", "pg_db_role_setting"),
])  # fmt: skip
def test_a_catalogue_that_was_rewritten(place: MakePlace, change: str, catalogue: str) -> None:
    """A change is found also when VACUUM FULL gave another file to the catalogue that holds it."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump("--create")
    isolation.restore()
    made.run(sql.SQL(change).format(sql.Identifier(made.name)).as_string(None))  # type: ignore[arg-type]
    with made.server.connect(made.name) as superuser:
        superuser.execute(sql.SQL("VACUUM FULL {}").format(sql.Identifier(catalogue)))
    assert isolation.restore().remade
    assert made.dump("--create") == before


def test_rows_and_schema_at_once(place: MakePlace) -> None:
    """A test that also wrote rows leaves none of them."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    made.run("INSERT INTO users (name) VALUES ('a')", "ALTER TABLE users ADD age int", "UPDATE users SET name = 'z'")
    assert isolation.restore().remade
    assert made.dump() == before


def test_data_that_was_loaded_on_top(place: MakePlace) -> None:
    """What was in the database beyond its migrations when the tests began is there again after it was made anew."""
    made = place(SCHEMA)
    made.run("INSERT INTO users (name) VALUES ('loaded')", "UPDATE users SET name = 'renamed' WHERE id = 1",
             "INSERT INTO posts VALUES (1, 1)", "SELECT setval('numbers', 40)")  # fmt: skip
    isolation = made.isolation()
    before = made.dump()
    made.run("CREATE TABLE more ()")
    assert isolation.restore().remade
    assert made.rebuilds == 1
    assert made.dump() == before
    made.run("DELETE FROM posts", "INSERT INTO users (name) VALUES ('b')")
    isolation.restore()
    assert made.dump() == before


def test_a_schema_made_on_top_cannot_be_made_anew(place: MakePlace) -> None:
    """A schema that the migrations do not make cannot be had again, and the error says where it belongs."""
    made = place(SCHEMA)
    made.run("CREATE TABLE on_top (id int)")
    isolation = made.isolation()
    made.run("ALTER TABLE users ADD age int")
    with pytest.raises(RestoreError) as caught:
        isolation.restore()
    assert "another schema than the tests began with" in str(caught.value)
    assert "make all of the schema in the migrations" in str(caught.value)


def test_a_stale_materialized_view(place: MakePlace) -> None:
    """A materialized view that held what its query no longer gives, and was refreshed, holds it again."""
    made = place("""
        CREATE TABLE numbers (n int);
        INSERT INTO numbers VALUES (1);
        CREATE MATERIALIZED VIEW total AS SELECT sum(n) FROM numbers;
        INSERT INTO numbers VALUES (2);
    """)
    isolation = made.isolation()
    before = made.dump()
    made.run("REFRESH MATERIALIZED VIEW total")
    assert "materialized view total held what its query does not give" in isolation.restore().remade
    assert made.dump() == before


def test_a_database_that_was_dropped(one_place: MakePlace) -> None:
    """A test may drop the database itself: it is made anew."""
    made = one_place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    made.drop()
    assert "no connection to be had" in isolation.restore().remade
    assert made.dump() == before


def test_prepared_statements_of_pools(one_place: MakePlace) -> None:
    """Whoever keeps connections is told when they were ended."""
    made = one_place(SCHEMA)
    isolation = made.isolation()
    told: list[Place] = []
    isolation.on_ended_sessions(lambda: told.append(made))
    made.run("INSERT INTO users (name) VALUES ('a')")
    isolation.restore()
    assert not told
    made.run("ALTER TABLE users ADD age int")
    isolation.restore()
    assert told == [made]


@pytest.mark.parametrize("change", [
    "GRANT SELECT (name) ON names TO PUBLIC", "ALTER TABLE names RENAME COLUMN name TO nom",
    "ALTER INDEX ix ALTER COLUMN 1 SET STATISTICS 100",
])  # fmt: skip
def test_a_change_of_which_nothing_better_is_told(place: MakePlace, change: str) -> None:
    """A restore that made the database anew says why, also where only columns of views and indexes were changed."""
    made = place(
        "CREATE TABLE t (id int, name text); CREATE VIEW names AS SELECT name FROM t; CREATE INDEX ix ON t ((id + 1))"
    )
    isolation = made.isolation()
    before = made.dump()
    made.run(change)
    restored = isolation.restore()
    assert restored
    assert "column" in restored.remade
    assert made.dump() == before


def test_properties_that_read_alike(place: MakePlace) -> None:
    """A comment on the database is told from a setting of the same words."""
    made = place(SCHEMA)
    with made.server.connect(made.name) as superuser:
        comment, setting = (
            sql.SQL(text).format(sql.Identifier(made.name))
            for text in ("COMMENT ON DATABASE {} IS '0 {{work_mem=1MB}}'", "ALTER DATABASE {} SET work_mem = '1MB'")
        )
        superuser.execute(comment)
        isolation = made.isolation()
        superuser.execute(sql.SQL("COMMENT ON DATABASE {} IS NULL").format(sql.Identifier(made.name)))
        superuser.execute(setting)
    assert "settings, grants or comment of the database" in isolation.restore().remade


@pytest.mark.parametrize("change", ["SET (binary = true)", "SET PUBLICATION other WITH (refresh = false)"])
def test_a_subscription_that_is_altered(place: MakePlace, change: str) -> None:
    """A subscription with other options is a change, which nobody can undo: the error is the server's."""
    made = place(SCHEMA)
    with made.server.connect(made.name) as superuser:
        superuser.execute(
            "CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE)"
        )
        isolation = made.isolation()
        superuser.execute(sql.SQL("ALTER SUBSCRIPTION sub ") + sql.SQL(change))  # type: ignore[arg-type]
        with pytest.raises(psycopg.errors.ObjectInUse, match="subscription"):
            isolation.restore()
    with made.server.connect(made.name) as superuser:
        superuser.execute("DROP SUBSCRIPTION sub")


def test_a_view_that_is_never_the_same(place: MakePlace) -> None:
    """Migrations that make something else each time cannot make the database anew as it was: each restore says so."""
    made = place(SCHEMA + "CREATE MATERIALIZED VIEW now AS SELECT clock_timestamp()")
    isolation = made.isolation()
    made.run("ALTER TABLE posts ADD more int")
    for _ in range(2):
        with pytest.raises(RestoreError) as caught:
            isolation.restore()
        assert caught.value.sought == f"to make the database '{made.name}' anew as it was"
        assert caught.value.found == "materialized view now held what its query does not give"
        assert caught.value.remedy[0].startswith("make what cannot be made twice the same")


def test_a_session_that_blocks_after_the_database_was_made_anew(place: MakePlace) -> None:
    """A database of which it could not be found whether it is as it was is made anew by the next restore."""
    made = place("CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t VALUES (1, 'migrated')")
    made.run("UPDATE t SET x = 'loaded on top'")
    isolation = made.isolation(timeout=0.3)
    before = made.dump()
    rebuild, clients = isolation._rebuild, []

    def rebuild_and_lock() -> None:
        rebuild()
        clients.append(made.client())
        clients[0].execute("BEGIN; LOCK TABLE t")

    isolation._rebuild = rebuild_and_lock
    made.run("ALTER TABLE t ADD y int")
    with pytest.raises(RestoreBlockedError):
        isolation.restore()
    clients[0].close()
    isolation._rebuild = rebuild
    isolation.restore()
    assert made.dump() == before
    assert made.rebuilds == 2
