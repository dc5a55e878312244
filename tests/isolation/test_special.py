"""What is rare in a database, each in a database of its own, for both kinds of roles on every server."""

from __future__ import annotations

import threading

import pytest
from psycopg import sql

from pytest_pristine.errors import PrivilegeError
from tests.conftest import new_role
from tests.isolation.conftest import MakePlace, Place

TRIGGERS = """
    CREATE TABLE audit (id serial, what text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO public.audit (what) VALUES (TG_NAME || TG_OP); RETURN coalesce(NEW, OLD); END $$;
"""


def trigger(table: str, name: str, state: str) -> str:
    """DDL for a trigger that writes to audit, in a given state."""
    return f"""
        CREATE TRIGGER {name} BEFORE INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION note();
        ALTER TABLE {table} {state} TRIGGER {name};
    """


def unchanged(place: Place, *statements: str) -> None:
    """Check that what the statements write is put back."""
    isolation = place.isolation()
    before = place.dump()
    place.run(*statements)
    isolation.restore()
    assert place.dump() == before
    assert not isolation.restore()
    assert place.rebuilds == 0


@pytest.mark.parametrize("state", ["ENABLE", "ENABLE ALWAYS", "ENABLE REPLICA", "DISABLE"])
def test_triggers_neither_fire_nor_change(place: MakePlace, state: str) -> None:
    """No trigger of the project's fires while rows are put back, and each is enabled as it was: O, A, R or D."""
    made = place(
        TRIGGERS + "CREATE TABLE watched (id int PRIMARY KEY); INSERT INTO watched VALUES (1), (2);"
        + trigger("watched", "t", state)
    )  # fmt: skip
    unchanged(made, "INSERT INTO watched VALUES (3)", "DELETE FROM watched WHERE id = 1", "TRUNCATE audit")


def test_triggers_of_partitions_keep_states_of_their_own(place: MakePlace) -> None:
    """A partition's copy of a trigger that is disabled there alone stays disabled, and so the other way round."""
    made = place(
        TRIGGERS + """
        CREATE TABLE target (id int PRIMARY KEY);
        INSERT INTO target VALUES (1);
        CREATE TABLE parted (id int, target_id int REFERENCES target) PARTITION BY LIST (id);
        CREATE TABLE part_1 PARTITION OF parted FOR VALUES IN (1);
        CREATE TABLE part_2 PARTITION OF parted FOR VALUES IN (2);
        INSERT INTO parted VALUES (1, 1);
        """ + trigger("parted", "t", "ENABLE") + """
        ALTER TABLE part_1 DISABLE TRIGGER t;
        ALTER TABLE part_2 ENABLE ALWAYS TRIGGER t;
        """
    )  # fmt: skip
    states = "SELECT tgrelid::regclass, tgenabled FROM pg_trigger WHERE tgname = 't' ORDER BY 1"
    before = made.ask(states)
    isolation = made.isolation()
    made.run("INSERT INTO target VALUES (2)", "DELETE FROM parted")
    isolation.restore()
    assert made.ask("SELECT * FROM parted") == "1|1"
    assert made.ask("SELECT count(*) FROM audit") == "0"
    assert made.ask(states) == before


def test_rules_that_always_apply(place: MakePlace) -> None:
    """A rule that turns every DELETE into nothing keeps no row from being put back."""
    made = place("""
        CREATE TABLE kept (id int PRIMARY KEY);
        INSERT INTO kept VALUES (1);
        CREATE RULE never AS ON DELETE TO kept DO INSTEAD NOTHING;
        ALTER TABLE kept ENABLE ALWAYS RULE never;
    """)
    unchanged(made, "INSERT INTO kept VALUES (2)", "UPDATE kept SET id = 3 WHERE id = 1")


def test_forced_row_security(place: MakePlace) -> None:
    """Rows that a policy hides are put back, also by an owner from whom it hides them too."""
    made = place("""
        CREATE TABLE secret (id int, tenant text);
        INSERT INTO secret VALUES (1, 'a'), (2, 'b');
        CREATE TABLE empty_secret (id int, tenant text);
        ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
        ALTER TABLE empty_secret ENABLE ROW LEVEL SECURITY;
        CREATE POLICY mine ON secret USING (tenant = current_setting('app.tenant', true));
        CREATE POLICY mine ON empty_secret USING (tenant = current_setting('app.tenant', true));
        ALTER TABLE secret FORCE ROW LEVEL SECURITY;
        ALTER TABLE empty_secret FORCE ROW LEVEL SECURITY;
    """)
    unchanged(made, "SET app.tenant = 'a'; INSERT INTO secret VALUES (3, 'a'); DELETE FROM secret WHERE id = 1;"
                    "INSERT INTO empty_secret VALUES (1, 'a')")  # fmt: skip


def test_percent_signs_in_names(place: MakePlace) -> None:
    """Names may hold what drivers take for placeholders."""
    made = place("""
        CREATE TABLE "50 %" (id serial PRIMARY KEY, "%s" int);
        INSERT INTO "50 %" ("%s") VALUES (1);
        CREATE TABLE "%(name)s" (id int);
        CREATE SCHEMA "%b";
        CREATE SEQUENCE "%b"."100%% %s";
        CREATE MATERIALIZED VIEW "%t" AS SELECT * FROM "50 %";
    """)
    unchanged(
        made,
        """INSERT INTO "50 %" ("%s") VALUES (2)""",
        """INSERT INTO "%(name)s" VALUES (1)""",
        """SELECT nextval('"%b"."100%% %s"')""",
        """REFRESH MATERIALIZED VIEW "%t\"""",
    )


def test_tables_whose_rows_have_no_content(place: MakePlace) -> None:
    """Tables without columns, or with generated ones alone, hold rows that can be counted and are put back."""
    made = place("""
        CREATE TABLE nothing ();
        INSERT INTO nothing DEFAULT VALUES;
        CREATE TABLE generated (one int GENERATED ALWAYS AS (1) STORED);
        INSERT INTO generated DEFAULT VALUES;
    """)
    isolation = made.isolation()
    made.run("INSERT INTO nothing DEFAULT VALUES", "INSERT INTO generated DEFAULT VALUES")
    isolation.restore()
    assert made.ask("SELECT (SELECT count(*) FROM nothing), (SELECT sum(one) FROM generated)") == "1|1"


def test_functions_that_rely_on_the_search_path(place: MakePlace) -> None:
    """Checks, generated columns and materialized views may call functions that name their tables without schema."""
    made = place("""
        CREATE TABLE limits (highest int);
        INSERT INTO limits VALUES (100);
        CREATE FUNCTION allowed(n int) RETURNS bool LANGUAGE plpgsql STABLE AS
            $$ BEGIN RETURN n <= (SELECT highest FROM limits); END $$;
        CREATE TABLE numbers (n int CHECK (allowed(n)));
        INSERT INTO numbers VALUES (1), (2);
    """)
    unchanged(made, "INSERT INTO numbers VALUES (3)")


def test_materialized_views_whose_order_was_turned_round(place: MakePlace) -> None:
    """Materialized views are refreshed in the order in which they read each other, whichever was made first."""
    made = place("""
        CREATE TABLE numbers (n int);
        CREATE VIEW between_them AS SELECT 0::bigint AS total;
        CREATE MATERIALIZED VIEW upper AS SELECT total FROM between_them;
        CREATE MATERIALIZED VIEW lower AS SELECT count(*) AS total FROM numbers;
        CREATE OR REPLACE VIEW between_them AS SELECT total FROM lower;
        REFRESH MATERIALIZED VIEW upper;
    """)
    unchanged(
        made,
        "INSERT INTO numbers VALUES (1)",
        "REFRESH MATERIALIZED VIEW lower",
        "REFRESH MATERIALIZED VIEW upper",
    )


def test_a_large_table(place: MakePlace) -> None:
    """A table of several megabytes is put back from a temporary file, row by row the same."""
    made = place("""
        CREATE TABLE large (id int PRIMARY KEY, text text);
        INSERT INTO large SELECT n, repeat(md5(n::text), 10) FROM generate_series(1, 8000) n;
    """)
    unchanged(made, "DELETE FROM large WHERE id % 2 = 0", "UPDATE large SET text = 'x' WHERE id < 100")


def test_twenty_thousand_rows(place: MakePlace) -> None:
    """A test may leave tens of thousands of rows, and the file of their table is short again afterwards."""
    made = place("CREATE TABLE many (id serial PRIMARY KEY, text text DEFAULT repeat('x', 100))")
    unchanged(made, "INSERT INTO many SELECT FROM generate_series(1, 20000)")
    assert int(made.ask("SELECT pg_relation_size('many')")) < 100_000


@pytest.mark.parametrize("deferral", ["NOT DEFERRABLE", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED"])
def test_a_circle_of_baseline_rows(place: MakePlace, deferral: str) -> None:
    """Rows that refer to each other in a circle are put back, and their keys are checked when they were."""
    made = place(f"""
        CREATE TABLE hen (id int PRIMARY KEY, egg_id int);
        CREATE TABLE egg (id int PRIMARY KEY, hen_id int REFERENCES hen);
        INSERT INTO hen VALUES (1, 1);
        INSERT INTO egg VALUES (1, 1);
        ALTER TABLE hen ADD FOREIGN KEY (egg_id) REFERENCES egg {deferral};
    """)
    unchanged(made, "UPDATE hen SET egg_id = NULL")


@pytest.mark.parametrize("setting", ["default_transaction_read_only = on", "statement_timeout = '1ms'",
                                     "search_path = 'nowhere'", "row_security = off", "default_tablespace = ''",
                                     "default_transaction_isolation = 'serializable'", "client_encoding = 'latin1'",
                                     "datestyle = 'German'", "extra_float_digits = -5",
                                     "intervalstyle = 'sql_standard'"])  # fmt: skip
def test_settings_of_the_database(one_place: MakePlace, setting: str) -> None:
    """Settings that the database has for its application neither stop a restore nor change what it puts back."""
    made = one_place("""
        CREATE TABLE exact (f float8, at timestamptz, i interval, t text);
        INSERT INTO exact VALUES (0.1 + 0.2, '2024-02-03 04:05:06.789012+00', '-1 day 2 hours -3 min', 'ü€');
        CREATE TABLE empty (id serial);
    """)
    before = made.dump()
    name, _, value = setting.partition(" = ")
    database = sql.Identifier(made.name)
    with made.server.connect() as client:
        statement = sql.SQL("ALTER DATABASE {} SET {} = {}")
        client.execute(statement.format(database, sql.Identifier(name), sql.Literal(value.strip("'"))))
    try:
        isolation = made.isolation()
        with made.server.connect(made.name) as client:
            client.execute("SET default_transaction_read_only = off")
            client.execute("SET statement_timeout = 0")
            client.execute("UPDATE public.exact SET f = 1")
            client.execute("INSERT INTO public.empty DEFAULT VALUES")
        assert isolation.restore()
    finally:
        with made.server.connect() as client:
            client.execute(sql.SQL("ALTER DATABASE {} RESET ALL").format(database))
    assert made.dump() == before


def test_a_role_that_was_granted_the_replica_role(one_place: MakePlace) -> None:
    """A restore in replica role cares for neither foreign keys nor the order of tables."""
    made = one_place("""
        CREATE TABLE a (id int PRIMARY KEY, b_id int);
        CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a);
        INSERT INTO a VALUES (1, 1);
        INSERT INTO b VALUES (1, 1);
        ALTER TABLE a ADD FOREIGN KEY (b_id) REFERENCES b;
    """)
    unchanged(made, "UPDATE a SET b_id = NULL; DELETE FROM b; DELETE FROM a")


def test_threads(one_place: MakePlace) -> None:
    """Restores may be asked for from any thread, also from several at once."""
    made = one_place("CREATE TABLE t (thread int)")
    isolation = made.isolation()
    before = made.dump()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(5):
                made.run(f"INSERT INTO t (thread) VALUES ({number})")
                isolation.restore()
        except BaseException as error:  # noqa: BLE001 - it is raised in the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    isolation.restore()
    assert not errors
    assert made.dump() == before


def test_more_relations_than_one_statement_names(one_place: MakePlace) -> None:
    """A schema of hundreds of tables is covered to the last."""
    made = one_place("".join(f"CREATE TABLE t{n} (id serial, n int); " for n in range(300))
                     + "INSERT INTO t299 (n) VALUES (1);")  # fmt: skip
    isolation = made.isolation()
    made.run(*(f"INSERT INTO t{n} (n) VALUES (2)" for n in (0, 124, 125, 249, 250, 299)))
    isolation.restore()
    counts = "SELECT (SELECT count(*) FROM t0), (SELECT count(*) FROM t250), (SELECT n FROM t299)"
    assert made.ask(counts) == "0|0|1"
    assert made.ask("SELECT last_value FROM t299_id_seq") == "1"


def test_tables_that_are_published(one_place: MakePlace) -> None:
    """Rows of a published table without a replica identity may not be deleted: it is written anew instead."""
    made = one_place("""
        CREATE TABLE keyless (n int);
        CREATE TABLE filled (n int);
        INSERT INTO filled VALUES (1), (2);
        CREATE PUBLICATION everything FOR ALL TABLES;
    """)
    unchanged(made, "INSERT INTO keyless VALUES (1)", "INSERT INTO filled VALUES (3)")
    made.run("DROP PUBLICATION everything")


def test_a_relation_that_the_owner_may_not_read(place: MakePlace) -> None:
    """An owner who took its own privileges away is told what it lacks, before any test."""
    made = place("CREATE TABLE locked (n int)")
    made.run("REVOKE ALL ON locked FROM CURRENT_USER")
    if made.replica:
        unchanged(made, "INSERT INTO locked VALUES (1)")
        return
    with pytest.raises(PrivilegeError) as caught:
        made.isolation()
    assert "permission denied for table locked" in caught.value.found
    assert "pristine_exclude" in caught.value.remedy[1]


def test_a_table_of_another_role(one_place: MakePlace) -> None:
    """What belongs to a role of which ours is no member is refused before any test, unless it is left out."""
    made = one_place("CREATE TABLE theirs (n int)")
    with new_role(made.server, "") as role:
        superuser = made.url
        made.url = role.set(database=made.name)
        try:
            with pytest.raises(PrivilegeError) as caught:
                made.isolation()
            assert caught.value.sought == "to put theirs back after a test"
            assert f"its owner 'tester', of which the role '{role.username}' is no member" in caught.value.found
            made.isolation(exclude="theirs").close()
        finally:
            made.url = superuser
