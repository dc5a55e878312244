"""Whatever a test commits is put back: pg_dump and a second client say the same before and after."""

from __future__ import annotations

import re

import pytest

from tests.conftest import AVAILABLE, wait_until
from tests.isolation.conftest import MakePlace, Place, Zoo

ODD = '"Odd ""name"" {x} .tab"'

# What tests do to a database, each on its own.
MUTATIONS = {
    "rows in empty tables": [
        "INSERT INTO empty (name) VALUES ('a'), ('b')",
        "INSERT INTO other.empty (name) VALUES ('a')",
        'INSERT INTO "Other ""one"""."empty ." VALUES (DEFAULT)',
        "INSERT INTO unlogged_empty VALUES (1)",
        "INSERT INTO unlogged (name) VALUES ('x')",
    ],
    "baseline rows inserted": [
        "INSERT INTO lookup VALUES (4, 'black')",
        "INSERT INTO loose VALUES (1, 'same')",
        "INSERT INTO odd (t) VALUES ('x')",
        "INSERT INTO priced (net) VALUES (3)",
    ],
    "baseline rows updated": [
        "UPDATE lookup SET label = 'white' WHERE id = 2",
        "UPDATE odd SET t = 'x', b = NULL, f = 1",
        "UPDATE priced SET net = 10",
        "UPDATE tree SET name = 'x'",
        "UPDATE unlogged SET name = 'x'",
    ],
    "baseline rows deleted": ["DELETE FROM odd", "DELETE FROM orders", "DELETE FROM tree WHERE id = 2"],
    "one of two duplicates deleted": [
        "DELETE FROM loose WHERE ctid = (SELECT min(ctid) FROM loose WHERE b = 'same')",
    ],
    "as many rows as before": ["BEGIN; DELETE FROM tree WHERE id = 2; INSERT INTO tree VALUES (4, 1, 'new'); COMMIT"],
    "everything truncated": [
        (
            "TRUNCATE lookup, orders, order_lines, serials, by_default, always, tree, parted, of_parted,"
            " ancestor, loose, odd, watched, ruled,"
            " secured, unlogged, excluding, deferred_unique, priced RESTART IDENTITY CASCADE"
        ),
    ],
    "everything rolled back, sequences advanced": [
        (
            "BEGIN; INSERT INTO empty (name) VALUES ('a'); UPDATE lookup SET label = label || '!';"
            " SELECT nextval('free_called'); INSERT INTO serials (note) VALUES ('x'); ROLLBACK"
        ),
    ],
    "sequences advanced": [
        f"SELECT nextval('{name}')"
        for name in ("serials_id_seq", "by_default_id_seq", "always_id_seq", "empty_id_seq", "free_fresh",
                     "free_called", "free_uncalled", "free_down", "other.free_huge")
    ],
    "sequences set": [
        "SELECT setval('serials_id_seq', 99)",
        "SELECT setval('free_fresh', 1, true)",
        "SELECT setval('free_called', 40, false)",
        "SELECT setval('free_uncalled', 50, true)",
        "ALTER SEQUENCE always_id_seq RESTART",
        "ALTER TABLE by_default ALTER id RESTART WITH 1000",
    ],
    "identities": [
        "INSERT INTO always (note) VALUES ('c')",
        "INSERT INTO always OVERRIDING SYSTEM VALUE VALUES (1, 'forced')",
        "UPDATE always SET note = 'd' WHERE id = 105",
        "INSERT INTO by_default VALUES (17, 'by hand')",
    ],
    "partitions": [
        "INSERT INTO parted VALUES (9, '2040-01-01'), (1, '2011-01-01'), (3, '2021-01-01')",
        "UPDATE parted SET at = '2012-01-01' WHERE id = 2",
        "DELETE FROM parted_new_1",
    ],
    "inheritance": [
        "INSERT INTO ancestor VALUES (3, 'new')",
        "UPDATE ancestor SET name = 'changed'",
        "DELETE FROM heir",
    ],
    "only the heir": ["INSERT INTO heir VALUES (4, 'x', 'y')"],
    "a circle of foreign keys": [
        "BEGIN; INSERT INTO hen VALUES (1, 1), (2, 1); INSERT INTO egg VALUES (1, 2), (2, 1); COMMIT",
    ],
    "foreign keys that cascade": [
        "UPDATE lookup SET id = 20 WHERE id = 2",
        "DELETE FROM orders WHERE id = 1",
        "DELETE FROM lookup WHERE id = 20",
    ],
    "only the referring table": ["INSERT INTO orders (colour_id) VALUES (2)"],
    "only the table referred to": ["INSERT INTO lookup VALUES (9, 'nine')"],
    "odd names": [
        f'INSERT INTO {ODD} ("a""b") VALUES (2), (3)',
        f'DELETE FROM {ODD} WHERE "a""b" = 1',
        (
            "UPDATE a_name_of_sixty_three_bytes_which_is_all_that_postgres_keeps_123"
            " SET a_column_of_sixty_three_bytes_which_is_all_that_postgres_keeps__ = 6"
        ),
    ],
    "tables with triggers": [
        "INSERT INTO watched VALUES (2, 'two')",
        "UPDATE watched SET name = 'uno' WHERE id = 1",
    ],
    "tables with rules and row security": [
        "INSERT INTO ruled VALUES (2, 'new')",
        "UPDATE ruled SET name = 'x' WHERE id = 1",
        "INSERT INTO secured VALUES (2, 'me')",
        "DELETE FROM secured WHERE id = 1",
    ],
    "constraints over rows": [
        "UPDATE excluding SET r = '[20,30)' WHERE r = '[1,5)'; INSERT INTO excluding VALUES ('[2,4)')",
        "UPDATE deferred_unique SET id = id + 1",
    ],
    "materialized views refreshed": [
        "INSERT INTO lookup VALUES (5, 'x')",
        "REFRESH MATERIALIZED VIEW CONCURRENTLY seen",
        "REFRESH MATERIALIZED VIEW seen_again",
        "REFRESH MATERIALIZED VIEW seen_never",
    ],
    "a materialized view emptied": ["REFRESH MATERIALIZED VIEW seen WITH NO DATA"],
    "files rewritten": ["VACUUM FULL lookup", "VACUUM FREEZE orders", "REINDEX TABLE orders", "ANALYZE"],
}  # fmt: skip


@pytest.mark.parametrize("what", MUTATIONS)
def test_the_database_is_as_it_was(animal: Place, what: str) -> None:
    """After a restore the database holds what it held, down to the last row and sequence, twice in a row."""
    isolation = animal.isolation()
    animal.run(*MUTATIONS[what])
    isolation.restore()
    assert not isolation.restore(), "there is nothing left to put back"
    animal.prove()


def test_everything_at_once_again_and_again(animal: Place, zoo: Zoo) -> None:
    """All of that together is put back, however often, and nothing is left in the database or on the connection."""
    isolation = animal.isolation()
    apart = {"everything truncated", "a materialized view emptied", "files rewritten", "foreign keys that cascade"}
    for _ in range(3):
        for what, statements in MUTATIONS.items():
            if what not in apart:
                animal.run(*statements)
        isolation.restore()
    isolation.close()
    wait_until(lambda: animal.objects() == zoo.objects, "the session ends")
    animal.prove()


def test_recording_and_restoring_leave_nothing(animal: Place, zoo: Zoo) -> None:
    """The catalogues hold not one object more, but for functions that go with the connection."""
    isolation = animal.isolation()
    isolation.restore()
    more = [name for name in animal.objects() if name not in zoo.objects]
    assert all(re.search(r"^pg_temp_\d+\.(pg_get_wal_|pristine_look)", str(name)) for _, name in more)
    assert len(more) == (2 if animal.replica and "pg_walinspect" in AVAILABLE else 0)
    isolation.close()
    wait_until(lambda: animal.objects() == zoo.objects, "the session ends")
    animal.prove()


def test_a_restore_with_nothing_to_put_back_writes_nothing(animal: Place) -> None:
    """A restore of a pristine database takes no transaction id."""
    isolation = animal.isolation()
    query = "SELECT pg_snapshot_xmax(pg_current_snapshot())"
    assert not isolation.restore()
    before = animal.ask(query)
    assert not isolation.restore()
    assert animal.ask(query) == before


def test_the_baseline_is_what_was_there_at_the_start(animal: Place) -> None:
    """Rows committed before the recording are part of the baseline."""
    animal.run("INSERT INTO empty (name) VALUES ('mine')", "DELETE FROM loose")
    before = animal.dump()
    isolation = animal.isolation()
    animal.run("TRUNCATE empty RESTART IDENTITY", "INSERT INTO loose VALUES (9, 'x')")
    isolation.restore()
    assert animal.dump() == before


def test_triggers_of_the_zoo_keep_their_state(animal: Place) -> None:
    """A restore leaves each trigger enabled or disabled as it was."""
    query = "SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
    before = animal.ask(query)
    isolation = animal.isolation()
    animal.run(*MUTATIONS["tables with triggers"])
    isolation.restore()
    assert animal.ask(query) == before
    assert "switched_off|D" in before


def test_settings_that_decide_how_values_are_written(place: MakePlace) -> None:
    """Rows are told from others also when the role's time zone was changed, and our session lost, meanwhile."""
    made = place(
        "CREATE TABLE t (at timestamptz); INSERT INTO t VALUES ('2020-01-01 00:00+00'), ('2021-01-01 00:00+00');"
        "CREATE MATERIALIZED VIEW v AS SELECT at FROM t"
    )
    isolation = made.isolation()
    times = "SELECT string_agg(extract(epoch FROM at)::text, ' ' ORDER BY at) FROM t"
    before = made.ask(times)
    made.run("ALTER ROLE CURRENT_USER SET timezone = 'Asia/Tokyo'")
    try:
        made.ask(f"SELECT pg_terminate_backend({isolation._watch.connection.info.backend_pid}, 10000)")
        for statement in ("DELETE FROM t WHERE at > '2020-06-01'", "ALTER TABLE t ADD y int"):
            made.run(statement)
            assert isolation.restore()
            assert made.ask(times) == before
            assert not isolation.restore()
        assert made.rebuilds == 1
    finally:
        made.run("ALTER ROLE CURRENT_USER RESET timezone")
