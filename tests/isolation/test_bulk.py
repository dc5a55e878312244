"""Many rows: large tables are truncated where nothing is lost by it, and small ones stay small."""

from __future__ import annotations

from tests.conftest import needs
from tests.isolation.conftest import MakePlace, Place

MANY = "INSERT INTO many (text) SELECT repeat('x', 20) FROM generate_series(1, 100000)"
SCHEMA = "CREATE TABLE many (id serial PRIMARY KEY, text text); CREATE TABLE other (id int PRIMARY KEY, text text);"


def file(place: Place, table: str = "many") -> str:
    """The name of a table's file: TRUNCATE gives it another one."""
    return place.ask(f"SELECT pg_relation_filenode('{table}')")


def size(place: Place, table: str = "many") -> int:
    """Bytes of a table's file."""
    return int(place.ask(f"SELECT pg_relation_size('{table}')"))


def test_a_table_of_its_own(place: MakePlace) -> None:
    """A hundred thousand rows in a table that nobody refers to are truncated."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    for _ in range(2):
        earlier = file(made)
        made.run(MANY, "INSERT INTO other VALUES (1)")
        restored = isolation.restore()
        assert dict(restored.rows) == {"many": None, "other": 1}
        assert str(restored).startswith("many all rows, other 1 row")
        assert file(made) != earlier
        assert size(made) == 0
        assert made.dump() == before
        assert not isolation.restore()
    assert made.rebuilds == 0


def test_tables_that_refer_to_it_and_were_empty(place: MakePlace) -> None:
    """Empty tables that refer to a large one are truncated with it."""
    made = place(SCHEMA + "CREATE TABLE notes (many_id int REFERENCES many)")
    isolation = made.isolation()
    before = made.dump()
    earlier = file(made)
    made.run(MANY, "INSERT INTO notes SELECT id FROM many WHERE id < 10")
    assert dict(isolation.restore().rows)["many"] is None
    assert file(made) != earlier
    assert made.dump() == before
    assert not isolation.restore()


def test_a_table_with_baseline_rows_that_refers_to_it(place: MakePlace) -> None:
    """Rows are deleted from a table when TRUNCATE would take rows of the baseline along."""
    made = place(
        SCHEMA
        + """
        CREATE TABLE notes (id int PRIMARY KEY, many_id int REFERENCES many);
        INSERT INTO notes VALUES (1, NULL);
    """
    )
    isolation = made.isolation()
    before = made.dump()
    earlier = file(made)
    made.run(MANY)
    assert dict(isolation.restore().rows) == {"many": 100000}
    assert file(made) == earlier
    assert size(made) < 100_000
    assert made.dump() == before


def test_a_table_that_is_kept_out_and_refers_to_it(place: MakePlace) -> None:
    """A table that nobody looks after is not truncated with one that is."""
    made = place(SCHEMA + "CREATE TABLE apart (many_id int); INSERT INTO apart VALUES (1)")
    isolation = made.isolation(exclude="apart")
    made.run("INSERT INTO apart VALUES (2)", MANY)
    assert dict(isolation.restore().rows) == {"many": None}
    assert made.ask("SELECT count(*) FROM apart") == "2"


@needs("hstore")
def test_a_table_of_an_extension_that_refers_to_it(place: MakePlace) -> None:
    """A table that belongs to an extension, which looks after it, is not truncated with one that it refers to."""
    made = place(
        SCHEMA
        + """
        CREATE EXTENSION hstore;
        CREATE TABLE theirs (many_id int REFERENCES many);
        INSERT INTO theirs VALUES (NULL);
        ALTER EXTENSION hstore ADD TABLE theirs;
    """
    )
    isolation = made.isolation()
    made.run(MANY)
    assert dict(isolation.restore().rows) == {"many": 100000}
    assert made.ask("SELECT count(*) FROM theirs") == "1"


def test_a_table_with_baseline_rows(place: MakePlace) -> None:
    """A table that had rows is never truncated for its size: they would have to be written anew."""
    made = place(SCHEMA + "INSERT INTO many (text) VALUES ('kept')")
    isolation = made.isolation()
    before = made.dump()
    earlier = file(made)
    made.run(MANY)
    assert dict(isolation.restore().rows) == {"many": 100000}
    assert file(made) == earlier
    assert made.dump() == before


def test_a_partitioned_table(place: MakePlace) -> None:
    """Each large partition is truncated, and the others are not."""
    made = place("""
        CREATE TABLE many (id serial, text text) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF many FOR VALUES FROM (0) TO (50000);
        CREATE TABLE high PARTITION OF many FOR VALUES FROM (50000) TO (1000000);
        CREATE TABLE refused PARTITION OF many DEFAULT;
        INSERT INTO many VALUES (-1, 'kept');
    """)
    isolation = made.isolation()
    before = made.dump()
    earlier = file(made, "low"), file(made, "high"), file(made, "refused")
    made.run(MANY)
    assert dict(isolation.restore().rows) == {"low": None, "high": None}
    assert [old == file(made, name) for old, name in zip(earlier, ("low", "high", "refused"), strict=True)] == [
        False, False, True,
    ]  # fmt: skip
    assert made.dump() == before


def test_a_table_with_heirs(place: MakePlace) -> None:
    """A large table is truncated without the tables that inherit from it."""
    made = place(SCHEMA + "CREATE TABLE heir () INHERITS (many); INSERT INTO heir (text) VALUES ('kept')")
    isolation = made.isolation()
    before = made.dump()
    made.run(MANY)
    assert dict(isolation.restore().rows) == {"many": None}
    assert made.dump() == before


def test_a_trigger_that_fires_on_truncate(place: MakePlace) -> None:
    """No trigger of the project's sees a large table being emptied."""
    made = place(
        SCHEMA
        + """
        CREATE TABLE audit (what text);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN INSERT INTO public.audit VALUES (TG_OP); RETURN NULL; END $$;
        CREATE TRIGGER t AFTER TRUNCATE OR DELETE ON many EXECUTE FUNCTION note();
        ALTER TABLE many ENABLE ALWAYS TRIGGER t;
    """
    )
    isolation = made.isolation()
    before = made.dump()
    made.run(MANY)
    assert dict(isolation.restore().rows).keys() == {"many"}
    assert made.dump() == before
    assert not isolation.restore()


def test_a_reader_in_the_way(place: MakePlace) -> None:
    """When a session still reads the table, its rows are deleted."""
    made = place(SCHEMA)
    isolation = made.isolation(timeout=5)
    before = made.dump()
    made.run(MANY)
    earlier = file(made)
    reader = made.client()
    with reader.transaction():
        reader.execute("SELECT * FROM many LIMIT 1")
        assert dict(isolation.restore().rows) == {"many": 100000}
        assert file(made) == earlier
        assert made.dump() == before
    assert not isolation.restore()
    made.run(MANY)
    assert dict(isolation.restore().rows) == {"many": None}
    assert made.dump() == before
    assert made.rebuilds == 0


def test_a_small_table_stays_small(place: MakePlace) -> None:
    """After a thousand restores the file of a table that each test writes a few rows to has a few dozen pages."""
    made = place(SCHEMA)
    isolation = made.isolation()
    before = made.dump()
    client = made.client()
    for _ in range(1000):
        client.execute("INSERT INTO many (text) SELECT repeat('x', 100) FROM generate_series(1, 10)")
        isolation.restore()
    assert size(made) < 60 * 8192
    assert made.dump() == before
    assert made.rebuilds == 0
