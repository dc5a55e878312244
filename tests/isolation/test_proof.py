"""Proofs: a restored database is compared with its baseline by somebody who does not believe the restore."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_pristine.errors import UnprovenError
from pytest_pristine.isolation import manifest
from pytest_pristine.isolation.changes import Changes
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.isolation.manifest import Difference, Manifest
from pytest_pristine.isolation.proof import ALWAYS, OFF, SAMPLED, Proof
from pytest_pristine.isolation.restored import Written
from pytest_pristine.postgres.connections import Connection
from tests.isolation.conftest import MakePlace, Place

SHOP = """
    CREATE TABLE users (id serial PRIMARY KEY, name text);
    CREATE TABLE orders (id serial PRIMARY KEY, who int);
    CREATE TABLE colours (name text);
    INSERT INTO colours VALUES ('red'), ('blue'), ('red');
    CREATE MATERIALIZED VIEW shades AS SELECT count(*) FROM colours;
"""
Miss = Callable[[], object]


def proven(place: Place) -> Isolation:
    """An isolation whose proofs have digests."""
    return place.isolation(proof=ALWAYS)


def blind(isolation: Isolation) -> None:
    """Have restores believe that nothing was written."""
    isolation._watch.changes = lambda *_: Changes()  # type: ignore[method-assign]


@pytest.mark.parametrize("last", [False, True])
def test_a_pristine_database(place: MakePlace, *, last: bool) -> None:
    """After a restore nothing is different, whatever the test wrote."""
    made = place(SHOP)
    isolation = proven(made)
    made.run(
        "INSERT INTO users (name) VALUES ('ada')", "DELETE FROM colours WHERE name = 'blue'",
        "UPDATE colours SET name = 'green'", "TRUNCATE orders", "SELECT nextval('orders_id_seq')",
        "REFRESH MATERIALIZED VIEW shades",
    )  # fmt: skip
    isolation.restore("test_one")
    assert isolation.prove(last=last) == []
    assert isolation.proof.proven == 1
    assert isolation.proof.spent > 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("INSERT INTO orders (who) VALUES (7), (8)", "orders has 2 rows more: (1,7), (2,8), written by test_two"),
        ("INSERT INTO colours VALUES ('green')", "colours has a row more: (green), written by test_two"),
        ("DELETE FROM colours WHERE name = 'blue'", "colours has a row less"),
        ("UPDATE colours SET name = 'x' WHERE name = 'blue'", "colours has a row more: (x) and a row less, written by"),
        ("SELECT setval('users_id_seq', 17)", "sequence users_id_seq stands elsewhere"),
    ],
)
def test_what_a_restore_has_missed(place: MakePlace, change: str, told: str) -> None:
    """Rows and sequences that were not put back are named, with the test that wrote them; then all is made anew."""
    made = place(SHOP)
    isolation = proven(made)
    made.run("INSERT INTO users (name) VALUES ('ada')")
    isolation.restore("test_one")
    made.run(change)
    blind(isolation)
    isolation.restore("test_two")
    made_before = made.rebuilds
    with pytest.raises(UnprovenError) as caught:
        isolation.prove()
    assert told in caught.value.found
    assert made.rebuilds == made_before + 1
    isolation.restore("test_three")
    assert isolation.prove() == []


def test_the_right_test_is_named(one_place: MakePlace) -> None:
    """A row that an earlier test wrote is laid to that test, however many have been restored since."""
    made = one_place(SHOP)
    isolation = proven(made)
    blind(isolation)
    for number in range(5):
        made.run(f"INSERT INTO users (name) VALUES ('{number}')")
        isolation.restore(f"test_{number}")
    with pytest.raises(UnprovenError) as caught:
        isolation.prove()
    assert "written by test_0, test_1, test_2, test_3, test_4" in caught.value.found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("CREATE TABLE more ()", "the catalogues: rows of pg_class"),
        ("REFRESH MATERIALIZED VIEW shades WITH NO DATA", "shades holds other rows"),
        ("SELECT lo_create(0)", "large objects"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "the catalogues: rows of pg_proc"),
    ],
)
def test_the_last_proof_sees_all(one_place: MakePlace, change: str, told: str) -> None:
    """The last proof also compares catalogues, views and large objects."""
    made = one_place(SHOP)
    isolation = proven(made)
    made.run(change)
    blind(isolation)
    isolation._watch.remove_large_objects = lambda _: []  # type: ignore[method-assign,assignment]
    isolation.restore("test_one")
    assert isolation.prove() == []
    with pytest.raises(UnprovenError) as caught:
        isolation.prove(last=True)
    assert told in caught.value.found


def test_who_writes_after_the_restore(place: MakePlace) -> None:
    """What is written after the restore is told and not laid to it; the next restore puts it back."""
    made = place(SHOP)
    isolation = proven(made)
    isolation.restore("test_one")
    made.run("INSERT INTO users (name) VALUES ('late')")
    assert isolation.prove() == ["sequence users_id_seq stands elsewhere", "users has a row more: (1,late)"]
    assert made.rebuilds == 0
    isolation.restore("test_two")
    assert isolation.prove() == []


def test_rows_of_a_large_table(one_place: MakePlace) -> None:
    """The row that does not belong is shown, however many there are, and although younger ones belong."""
    made = one_place(
        "CREATE TABLE words (id int PRIMARY KEY, word text); "
        "INSERT INTO words SELECT n, 'word ' || n FROM generate_series(1, 3000) n"
    )
    isolation = proven(made)
    isolation.restore("test_one")
    made.run("INSERT INTO words VALUES (9000, 'a\tb')")
    changes = isolation._watch.changes
    blind(isolation)
    isolation.restore("test_two")
    isolation._watch.changes = changes  # type: ignore[method-assign]
    made.run("UPDATE words SET word = 'x' WHERE id = 7")
    isolation.restore("test_three")
    with pytest.raises(UnprovenError) as caught:
        isolation.prove()
    assert caught.value.found.startswith("words has a row more: (9000,")
    assert caught.value.found.endswith(", written by test_two")


def test_a_miss_beside_others(one_place: MakePlace) -> None:
    """A row that was written before the restore was missed, whoever has written anything anywhere since."""
    made = one_place(SHOP)
    isolation = proven(made)
    isolation.restore("test_one")
    made.run("INSERT INTO users (name) VALUES ('ada')")
    blind(isolation)
    isolation.restore("test_two")
    made.run("SELECT pg_current_xact_id()")
    with pytest.raises(UnprovenError):
        isolation.prove()
    assert made.rebuilds == 1


def test_who_writes_while_it_is_proven(one_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written between the look at the server and the comparison is told as late, not laid to the restore."""
    made = one_place(SHOP)
    isolation = proven(made)
    isolation.restore("test_one")
    compare = Manifest.differences

    def late(manifest: Manifest, connection: Connection) -> list[Difference]:
        made.run("INSERT INTO users (name) VALUES ('late')")
        return compare(manifest, connection)

    monkeypatch.setattr(Manifest, "differences", late)
    assert "users has a row more: (1,late)" in isolation.prove()
    assert made.rebuilds == 0


def test_after_the_database_was_made_anew(place: MakePlace) -> None:
    """A database that was made anew is compared with the same baseline, whatever oids its tables have."""
    made = place(SHOP)
    isolation = proven(made)
    made.run("ALTER TABLE colours ADD shade int")
    isolation.restore("test_one")
    assert made.rebuilds == 1
    assert isolation.prove() == []
    made.run("INSERT INTO colours VALUES ('green')")
    blind(isolation)
    isolation.restore("test_two")
    with pytest.raises(UnprovenError):
        isolation.prove()


def test_a_restore_that_does_too_little(one_place: MakePlace) -> None:
    """What was detected and not put back is found as well."""
    made = one_place(SHOP)
    isolation = proven(made)
    isolation._restorer = lambda *_, **__: Written()
    made.run("INSERT INTO users (name) VALUES ('ada')")
    isolation.restore("test_one")
    with pytest.raises(UnprovenError):
        isolation.prove()


def test_large_tables(one_place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of a large table are counted in the middle of a run, and compared in the end."""
    monkeypatch.setattr(manifest, "_DIGESTED", 2)
    made = one_place(SHOP)
    isolation = proven(made)
    blind(isolation)
    made.run("UPDATE colours SET name = 'x' WHERE name = 'blue'")
    isolation.restore("test_one")
    assert isolation.prove() == []
    made.run("DELETE FROM colours WHERE name = 'x'")
    isolation.restore("test_two")
    with pytest.raises(UnprovenError):
        isolation.prove()
    made.run("UPDATE colours SET name = 'x' WHERE name = 'blue'")
    blind(isolation)
    isolation.restore("test_three")
    with pytest.raises(UnprovenError):
        isolation.prove(last=True)


def test_hostile_rows(one_place: MakePlace) -> None:
    """Whatever a table is called and holds, it can be compared, and a long row is shortened."""
    made = one_place("""
        CREATE SCHEMA "odd %s";
        CREATE TABLE "odd %s"."a ""b"" %(c)s" (t text);
        INSERT INTO "odd %s"."a ""b"" %(c)s" VALUES (E'\\\\ \\n %');
        CREATE TABLE no_columns ();
    """)
    isolation = proven(made)
    assert isolation.prove() == []
    made.run(
        """INSERT INTO "odd %s"."a ""b"" %(c)s" VALUES (repeat('x', 1000))""", "INSERT INTO no_columns DEFAULT VALUES"
    )
    long, none = isolation.prove()
    assert long.startswith('odd %s.a "b" %(c)s has a row more: (xxx')
    assert len(long) < 300
    assert none == "no_columns has a row more: ()"


@pytest.mark.parametrize(
    ("mode", "spent", "restoring", "due"),
    [
        (ALWAYS, 9, 0, True), (OFF, 0, 9, False), (SAMPLED, 0, 0, True), (SAMPLED, 1, 9.9, False),
        (SAMPLED, 1, 10, True),
    ],
)  # fmt: skip
def test_when_a_proof_is_due(mode: str, spent: float, restoring: float, *, due: bool) -> None:
    """Proofs that are sampled take a tenth of the time of restores at most, and the first restore is proven."""
    proof = Proof(mode, None, spent=spent, restoring=restoring)  # type: ignore[arg-type]
    assert proof.is_due() is due
