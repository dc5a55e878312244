"""Which relations a restore looks after, and what is said of patterns that cannot be meant."""

from __future__ import annotations

import pytest

from pytest_pristine.errors import SettingError
from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from tests.conftest import needs
from tests.isolation.conftest import MakePlace, Place
from tests.migrations.conftest import one_line

SHOP = """
    CREATE SCHEMA stock;
    CREATE TABLE users (id serial PRIMARY KEY, name text);
    CREATE TABLE user_notes (id serial PRIMARY KEY);
    CREATE TABLE orders (id serial PRIMARY KEY, user_id int REFERENCES users);
    CREATE TABLE stock.items (id serial PRIMARY KEY);
    CREATE TABLE stock.users (id serial PRIMARY KEY);
    CREATE SEQUENCE invoice_number;
    INSERT INTO users (name) VALUES ('root');
"""
FILL = ("users", "user_notes", "orders", "stock.items", "stock.users")


def left(place: Place, isolation: Isolation) -> set[str]:
    """Write to every table and sequence, and restore; gives those that were not put back."""
    place.run(*(f"INSERT INTO {table} DEFAULT VALUES" for table in FILL), "SELECT nextval('invoice_number')")
    isolation.restore()
    rows = " UNION ALL ".join(
        f"SELECT '{table}' WHERE (SELECT count(*) FROM {table}) > {int(table == 'users')}" for table in FILL
    )
    sequences = (
        "SELECT sequencename FROM pg_sequences WHERE last_value >"
        " CASE WHEN schemaname = 'public' AND sequencename = 'users_id_seq' THEN 1 ELSE 0 END"
    )
    return set(place.ask(f"{rows} UNION ALL {sequences}").split())


@pytest.mark.parametrize(
    ("include", "exclude", "kept"),
    [
        ("*", "", set()),
        ("users orders", "", {"user_notes", "user_notes_id_seq", "stock.items", "items_id_seq", "invoice_number"}),
        ("*", "stock.*", {"stock.items", "items_id_seq", "stock.users", "users_id_seq"}),
        ("*", "public.user_*", {"user_notes", "user_notes_id_seq"}),
        ("*", "user_*", {"user_notes", "user_notes_id_seq"}),
        ("*", "invoice_number", {"invoice_number"}),
        ("stock.*", "stock.users", {"users", "users_id_seq", "user_notes", "user_notes_id_seq", "orders",
                                    "orders_id_seq", "stock.users", "invoice_number"}),
    ],
)  # fmt: skip
def test_patterns(one_place: MakePlace, include: str, exclude: str, kept: set[str]) -> None:
    """A name means that table in every schema, schema.name the one; sequences go with the table that owns them."""
    place = one_place(SHOP)
    isolation = place.isolation(include=include, exclude=exclude)
    assert left(place, isolation) == kept


@pytest.mark.parametrize(("key", "options"), [
    ("pristine_include", {"include": "users ordres"}),
    ("pristine_exclude", {"exclude": "ordres"}),
    ("pristine_exclude", {"exclude": "shop.ordres"}),
])  # fmt: skip
def test_a_pattern_that_matches_nothing(one_place: MakePlace, key: str, options: dict[str, str]) -> None:
    """A misspelt name is an error that names the key, the pattern and the tables there are."""
    place = one_place(SHOP)
    with pytest.raises(SettingError) as caught:
        place.isolation(**options)  # type: ignore[arg-type]
    message = one_line(str(caught.value))
    assert "ordres" in message
    assert key in message
    assert "public.orders" in message
    assert "stock.items" in message


@pytest.mark.parametrize("excluded", ["orders", "public.orders"])
def test_rows_that_stay_may_not_refer_to_rows_that_go(one_place: MakePlace, excluded: str) -> None:
    """A table that is kept out and refers to one that is restored is an error that names both and the ways out."""
    place = one_place(SHOP)
    with pytest.raises(SettingError) as caught:
        place.isolation(exclude=excluded)
    message = one_line(str(caught.value))
    assert "a foreign key from orders to users" in message
    assert "exclude users as well, or restore orders too" in message


def test_a_table_without_rules_may_be_kept_out(one_place: MakePlace) -> None:
    """A table that is referred to may be kept out: what is restored may refer to what stays."""
    place = one_place(SHOP)
    isolation = place.isolation(exclude="public.users")
    place.run("INSERT INTO users (name) VALUES ('stays')", "INSERT INTO orders (user_id) VALUES (2)")
    isolation.restore()
    assert place.ask("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM orders)") == "2|0"


def test_names_are_matched_exactly(one_place: MakePlace) -> None:
    """Upper and lower case are different names, as in Postgres."""
    assert Coverage(("Users",)).covers("public", "Users")
    assert not Coverage(("Users",)).covers("public", "users")
    place = one_place('CREATE TABLE "Users" (id int); CREATE TABLE users (id int)')
    isolation = place.isolation(include="Users")
    place.run('INSERT INTO "Users" VALUES (1)', "INSERT INTO users VALUES (1)")
    isolation.restore()
    assert place.ask('SELECT (SELECT count(*) FROM "Users"), (SELECT count(*) FROM users)') == "0|1"


@needs("postgres_fdw")
def test_foreign_tables_are_not_touched(place: MakePlace) -> None:
    """Rows behind a foreign table are another database's: they stay, also behind a partition."""
    made = place("CREATE TABLE far (id int); CREATE TABLE near (id int) PARTITION BY LIST (id);"
                 "CREATE TABLE near_1 PARTITION OF near FOR VALUES IN (1)")  # fmt: skip
    with made.server.connect(made.name) as client:
        url = made.server.url
        client.execute("CREATE EXTENSION postgres_fdw")
        client.execute(f"CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS "
                       f"(host '{url.host}', port '{url.port}', dbname '{made.name}')")  # type: ignore[arg-type]  # fmt: skip
        client.execute(f"CREATE USER MAPPING FOR PUBLIC SERVER away OPTIONS "
                       f"(user '{url.username}', password '{url.password}')")  # type: ignore[arg-type]  # fmt: skip
        client.execute("CREATE FOREIGN TABLE through (id int) SERVER away OPTIONS (table_name 'far')")
        client.execute("CREATE FOREIGN TABLE near_2 PARTITION OF near FOR VALUES IN (2) SERVER away"
                       " OPTIONS (table_name 'far')")  # fmt: skip
    isolation = made.isolation(exclude="far")
    with made.server.connect(made.name) as client:
        client.execute("INSERT INTO through VALUES (7)")
        client.execute("INSERT INTO near VALUES (1), (2)")
    isolation.restore()
    assert made.ask("SELECT array_agg(id ORDER BY id) FROM far") == "{2,7}"
    assert made.ask("SELECT count(*) FROM near_1") == "0"


@needs("hstore")
def test_tables_of_extensions_are_left_alone(one_place: MakePlace) -> None:
    """A table that belongs to an extension is the extension's, and so is its sequence."""
    place = one_place("""
        CREATE TABLE theirs (id serial PRIMARY KEY);
        CREATE TABLE mine (id serial PRIMARY KEY);
        CREATE EXTENSION hstore;
        ALTER EXTENSION hstore ADD TABLE theirs;
        ALTER EXTENSION hstore ADD SEQUENCE theirs_id_seq;
    """)
    isolation = place.isolation()
    place.run("INSERT INTO theirs DEFAULT VALUES", "INSERT INTO mine DEFAULT VALUES")
    isolation.restore()
    assert place.ask("SELECT (SELECT count(*) FROM theirs), (SELECT count(*) FROM mine)") == "1|0"
    assert place.ask("SELECT last_value, is_called FROM theirs_id_seq") == "1|t"


def test_temporary_tables_of_other_sessions_do_not_matter(one_place: MakePlace) -> None:
    """A temporary table that a session holds while the baseline is recorded is none of ours."""
    place = one_place("CREATE TABLE t (id int)")
    session = place.client()
    session.execute("CREATE TEMP TABLE mine (id serial); INSERT INTO mine DEFAULT VALUES")
    isolation = place.isolation()
    session.execute("DROP TABLE mine")
    place.run("INSERT INTO t VALUES (1)")
    assert isolation.restore()
