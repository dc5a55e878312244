"""What the application's triggers, rules and functions write while a restore puts back what a test wrote."""

from __future__ import annotations

import pytest
from psycopg import sql

from pytest_pristine.isolation import truncation
from pytest_pristine.isolation.changes import Changes
from pytest_pristine.isolation.watch import Watch
from tests.isolation.conftest import MakePlace

USERS = """
    CREATE TABLE users (id int PRIMARY KEY, name text);
    CREATE TABLE posts (id int, user_id int REFERENCES users ON DELETE CASCADE);
    CREATE TABLE likes (id int, user_id int REFERENCES users ON DELETE SET NULL);
    CREATE TABLE audit (id serial, what text);
    CREATE TABLE counters (n int);
    CREATE TABLE stock (id int);
    INSERT INTO users VALUES (1, 'root');
    INSERT INTO posts VALUES (1, 1);
    INSERT INTO likes VALUES (1, 1);
    INSERT INTO counters VALUES (0);
    INSERT INTO stock VALUES (1), (2);
"""
FUNCTION = """
    CREATE FUNCTION react() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN {}; RETURN coalesce(NEW, OLD); END $$;
"""

# What fires when a foreign key deletes or updates rows of a table that nobody wrote to.
REACTIONS = {
    "a trigger that logs": FUNCTION.format("INSERT INTO public.audit (what) VALUES (TG_OP)")
    + "CREATE TRIGGER t AFTER DELETE ON posts FOR EACH ROW EXECUTE FUNCTION react();",
    "a trigger before that counts": FUNCTION.format("UPDATE public.counters SET n = n + 1")
    + "CREATE TRIGGER t BEFORE UPDATE ON likes FOR EACH ROW EXECUTE FUNCTION react();",
    "a trigger that deletes": FUNCTION.format("DELETE FROM public.stock")
    + "CREATE TRIGGER t BEFORE DELETE ON posts FOR EACH ROW EXECUTE FUNCTION react();",
    "a trigger that changes what is restored": FUNCTION.format("UPDATE public.users SET name = 'touched'")
    + "CREATE TRIGGER t AFTER DELETE ON posts FOR EACH ROW EXECUTE FUNCTION react();",
    "a rule": "CREATE RULE r AS ON DELETE TO posts DO ALSO INSERT INTO audit (what) VALUES ('gone');",
}


@pytest.mark.parametrize("what", REACTIONS)
def test_what_a_foreign_key_sets_off(place: MakePlace, what: str) -> None:
    """What triggers and rules do when a restore deletes a row to which others refer is put back as well."""
    made = place(USERS + REACTIONS[what])
    isolation = made.isolation()
    before = made.dump()
    for also in ((), ("INSERT INTO audit (what) VALUES ('mine')",)):
        made.run("UPDATE users SET name = 'z'", *also)
        isolation.restore()
        assert made.dump() == before
        assert not isolation.restore()
    assert made.rebuilds == 0


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL"])
def test_a_foreign_key_that_always_acts(place: MakePlace, action: str) -> None:
    """Foreign keys that somebody made act in replica role too are kept quiet like triggers."""
    made = place(
        f"""
        CREATE TABLE users (id int PRIMARY KEY, name text);
        CREATE TABLE posts (id int, user_id int REFERENCES users ON DELETE {action});
        INSERT INTO users VALUES (1, 'root');
        INSERT INTO posts VALUES (1, 1);
        """
    )
    superuser = made.superuser()
    for (name,) in superuser.execute("SELECT tgname FROM pg_trigger WHERE tgrelid = 'users'::regclass").fetchall():
        superuser.execute(sql.SQL("ALTER TABLE users ENABLE ALWAYS TRIGGER {}").format(sql.Identifier(str(name))))
    isolation = made.isolation()
    before = made.dump()
    for _ in range(2):
        made.run("UPDATE users SET name = 'z'")
        assert isolation.restore()
        assert made.dump() == before
    assert made.rebuilds == 0


def test_a_view_that_calls_a_function_that_writes(place: MakePlace) -> None:
    """What a refreshed view writes by a function, and the numbers that it takes, are put back."""
    made = place(
        """
        CREATE TABLE t (id int);
        CREATE TABLE log (id int);
        CREATE SEQUENCE numbers;
        CREATE FUNCTION note(id int) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.log VALUES (id); RETURN id; END $$;
        INSERT INTO t VALUES (1);
        CREATE MATERIALIZED VIEW noted AS SELECT note(id) FROM t;
        CREATE MATERIALIZED VIEW numbered AS SELECT id FROM t WHERE nextval('public.numbers') > 0;
        """
    )
    isolation = made.isolation()
    before = made.dump()
    made.run("INSERT INTO t VALUES (2)", "REFRESH MATERIALIZED VIEW noted", "REFRESH MATERIALIZED VIEW numbered")
    assert isolation.restore()
    assert made.dump() == before
    assert not isolation.restore()
    assert made.rebuilds == 0


@pytest.mark.parametrize(
    "statements",
    [
        ["INSERT INTO t VALUES (2)", "REFRESH MATERIALIZED VIEW v"],
        ["SELECT nextval('s')"],
        ["CREATE TRIGGER t BEFORE INSERT ON u FOR EACH ROW EXECUTE FUNCTION react()", "INSERT INTO u VALUES (1)"],
    ],
    ids=["a view", "a sequence", "a trigger"],
)
def test_an_event_trigger_that_logs(place: MakePlace, statements: list[str]) -> None:
    """What an event trigger writes because a restore refreshes, alters or empties something is put back."""
    made = place(
        """
        CREATE TABLE t (id int);
        CREATE TABLE u (id int);
        CREATE TABLE ddl (what text);
        CREATE SEQUENCE s CACHE 10;
        CREATE MATERIALIZED VIEW v AS SELECT id FROM t;
        CREATE FUNCTION f() RETURNS event_trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.ddl VALUES (TG_TAG); END $$;
        """
        + FUNCTION.format("NULL")
    )
    if "TRIGGER" in statements[0]:
        made.run(statements[0])
        statements = statements[1:]
    made.superuser().execute("CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()")
    isolation = made.isolation()
    before = made.dump()
    made.run(*statements)
    assert isolation.restore()
    assert made.dump() == before


def test_triggers_that_never_come_to_rest(place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where putting back sets off new writes again and again, the database is made anew instead, and that is told."""
    made = place(USERS + REACTIONS["a trigger that logs"])
    isolation = made.isolation()
    before = made.dump()
    made.run("UPDATE users SET name = 'z'")
    unmeant = Watch.unmeant

    def restless(watch: Watch, meant: Changes, *arguments: object) -> Changes:
        if not meant:
            return unmeant(watch, meant, *arguments)  # type: ignore[arg-type]
        return watch.baseline.sort({watch.baseline.relations[0].oid}, large_objects=False)

    monkeypatch.setattr(Watch, "unmeant", restless)
    remade = isolation.restore().remade
    monkeypatch.undo()
    assert remade.startswith("triggers or functions write to ")
    assert remade.endswith(" whenever it is put back")
    assert made.dump() == before
    assert made.rebuilds == 1


def test_a_grant_while_a_view_is_refreshed(place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another session changes about a view just before we refresh it stands in a row of ours, and is found."""
    made = place("CREATE TABLE t (id int); CREATE MATERIALIZED VIEW v AS SELECT id FROM t")
    isolation = made.isolation()
    before = made.dump()
    made.run("INSERT INTO t VALUES (1)", "REFRESH MATERIALIZED VIEW v")
    refresh, granted = Watch.refresh, list[str]()

    def late(watch: Watch, *arguments: object) -> bool:
        if not granted:
            granted.append("v")
            made.run("GRANT SELECT ON v TO PUBLIC")
        return refresh(watch, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Watch, "refresh", late)
    assert isolation.restore()
    assert granted
    assert "v" in isolation.restore().remade
    assert made.dump() == before


def test_a_grant_while_a_table_is_truncated(place: MakePlace, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same of a table just before we truncate it."""
    made = place("CREATE TABLE t (id int, x text)")
    isolation = made.isolation()
    before = made.dump()
    made.run("INSERT INTO t SELECT 1, repeat('x', 1000) FROM generate_series(1, 2000)")
    truncate, granted = truncation.truncate, list[str]()

    def late(*arguments: object) -> None:
        if not granted:
            granted.append("t")
            made.run("GRANT SELECT ON t TO PUBLIC")
        truncate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(truncation, "truncate", late)
    assert isolation.restore()
    assert granted
    assert "table t" in isolation.restore().remade
    assert made.dump() == before
