"""What the machine found, or those who watched it: each failure is a story of its own, and must end well now."""

from __future__ import annotations

import os

import pytest

from tests.oracle.conftest import WAYS
from tests.oracle.places import World
from tests.oracle.stage import play
from tests.oracle.stories import PREPARE, RESTORE, Step, Story

LONG = "PRISTINE_ORACLE_EXAMPLES" in os.environ

_BASE = (
    "CREATE TABLE t (id int, n int)",
    "INSERT INTO t SELECT g, g FROM generate_series(1, 5) g",
    "CREATE TABLE u (id int)",
    "CREATE UNLOGGED TABLE unlogged (id int)",
    "INSERT INTO unlogged VALUES (1), (2)",
    "CREATE FUNCTION note() RETURNS int LANGUAGE sql AS 'SELECT 1'",
)


def _kept_open(*statements: str, schema: bool = False) -> Story:
    """A transaction that others overtake, and that is committed after the restore."""
    return Story(
        ddl=_BASE,
        steps=(
            Step("b", "; ".join(("BEGIN", *statements)), schema=schema),
            Step("a", "INSERT INTO u VALUES (1)"),
            RESTORE,
            Step("b", "COMMIT"),
            RESTORE,
        ),
    )


def _once(*ddl: str, step: str, who: str = "a", schema: bool = False) -> Story:
    """One statement in one test."""
    return Story(ddl=(*_BASE, *ddl), steps=(Step(who, step, schema=schema), RESTORE))


_FORCED = ("ALTER TABLE t ENABLE ROW LEVEL SECURITY", "ALTER TABLE t FORCE ROW LEVEL SECURITY")
_CYCLE = "CREATE SEQUENCE s MINVALUE 1 MAXVALUE {} CYCLE"

STORIES = {
    "a sequence that was restarted has a catalogue row anew": _once(
        "CREATE SEQUENCE s", step="ALTER SEQUENCE s RESTART"
    ),
    "a sequence restarted elsewhere": _once("CREATE SEQUENCE s START 7", step="ALTER SEQUENCE s RESTART WITH 3"),
    "an identity restarted": _once(
        "CREATE TABLE i (id int GENERATED ALWAYS AS IDENTITY (START -1 INCREMENT -1 MAXVALUE 5) PRIMARY KEY)",
        step="ALTER TABLE i ALTER id RESTART",
    ),
    "a sequence with a cache restarted": _once(
        "CREATE SEQUENCE s INCREMENT -3 START 1000 MAXVALUE 1000 MINVALUE 1 CYCLE CACHE 5",
        step="ALTER SEQUENCE s RESTART",
    ),
    "a refreshed view has another TOAST table": _once(
        "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n, max(t::text) AS most FROM t",
        step="REFRESH MATERIALIZED VIEW m",
    ),
    "an empty view has it too": _once(
        "CREATE MATERIALIZED VIEW m AS SELECT t::text AS n FROM t WITH NO DATA",
        step="REFRESH MATERIALIZED VIEW m WITH NO DATA",
    ),
    "a temporary aggregate": _once(step="CREATE AGGREGATE pg_temp.agg (int) (SFUNC = int4pl, STYPE = int)"),
    "a temporary partitioned table": _once(
        step="CREATE TEMP TABLE x (id int, k int) PARTITION BY LIST (k); CREATE TEMP TABLE y PARTITION OF x DEFAULT"
    ),
    "a temporary view, which has pg_dump put the table it reads elsewhere": _once(
        "CREATE TABLE a (id int)", step="CREATE TEMP VIEW v AS SELECT * FROM u"
    ),
    "hidden rows are not written anew when nothing was written": Story(
        ddl=(*_BASE, *_FORCED),
        steps=(Step("a", "CREATE TABLE new ()", schema=True), RESTORE, Step("a", "INSERT INTO u VALUES (1)"), RESTORE),
    ),
    "hidden rows of a table that is referred to": Story(
        ddl=(
            "CREATE TABLE hen (id int PRIMARY KEY)",
            "CREATE TABLE egg (id int PRIMARY KEY, hen int REFERENCES hen)",
            "ALTER TABLE egg ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE egg FORCE ROW LEVEL SECURITY",
        ),
        steps=(Step("c", "COMMENT ON TABLE hen IS 'x'", schema=True), RESTORE),
    ),
    "a session ends that had a sequence advance": Story(
        ddl=("CREATE TABLE audit (id bigserial PRIMARY KEY, what text)",),
        steps=(
            Step("c", "BEGIN; SAVEPOINT s; INSERT INTO audit (what) VALUES ('x'); RELEASE s"),
            RESTORE,
            Step("leave", "c"),
            RESTORE,
        ),
    ),
    "a part of an open transaction inserts": _kept_open("SAVEPOINT s", "INSERT INTO t VALUES (9, 9)", "RELEASE s"),
    "a part of one that has an id already": _kept_open(
        "SELECT pg_current_xact_id()", "SAVEPOINT s", "INSERT INTO t VALUES (9, 9)", "RELEASE s"
    ),
    "a part of an open transaction updates": _kept_open(
        "SAVEPOINT s", "UPDATE t SET n = 77 WHERE id = 1", "RELEASE s"
    ),
    "a part of a part": _kept_open(
        "SAVEPOINT s", "SAVEPOINT r", "DELETE FROM t WHERE id = 2", "INSERT INTO t VALUES (8, 8)", "RELEASE s"
    ),
    "a part of an open transaction writes to what is not logged": _kept_open(
        "SAVEPOINT s", "UPDATE unlogged SET id = 77 WHERE id = 1", "RELEASE s"
    ),
    "a part of an open transaction alters a function": _kept_open(
        "SAVEPOINT s", "ALTER FUNCTION note() COST 7", "RELEASE s", schema=True
    ),
    "a part of an open transaction says something of the database": _kept_open(
        "SAVEPOINT s", "COMMENT ON DATABASE {database} IS 'x'", "RELEASE s", schema=True
    ),
    "a part of an open transaction makes a large object": _kept_open(
        "SAVEPOINT s", "SELECT lo_from_bytea(99, 'x')", "RELEASE s"
    ),
    "an open transaction, overtaken by more WAL than is read": Story(
        ddl=_BASE,
        steps=(
            Step("b", "BEGIN; SAVEPOINT s; UPDATE t SET n = 77 WHERE id = 1; RELEASE s"),
            Step("a", "INSERT INTO u SELECT g FROM generate_series(1, 20000) g"),
            RESTORE,
            Step("a", "INSERT INTO u VALUES (1)"),
            RESTORE,
            Step("b", "COMMIT"),
            RESTORE,
        ),
    ),
    **{
        f"a sequence comes round after {most} numbers, with more of them logged ahead": Story(
            ddl=(_CYCLE.replace("{}", str(most)), "SELECT nextval('s')"),
            steps=(
                Step("a", f"SELECT nextval('s') FROM generate_series(1, {most})"),
                RESTORE,
                Step("a", "SELECT nextval('s')"),
                RESTORE,
                Step("a", "SELECT nextval('s')"),
                RESTORE,
            ),
        )
        for most in (3, 40)
    },
    "a publication forbids to delete from a table without a key": Story(
        ddl=(*_BASE, "CREATE PUBLICATION everything FOR ALL TABLES"),
        steps=(Step("a", "INSERT INTO t VALUES (9, 9)"), Step("a", "INSERT INTO u VALUES (9)"), RESTORE),
    ),
    "a sequence is not owned any more, which only dependencies tell": _once(
        "CREATE TABLE audit (id bigserial PRIMARY KEY, what text)",
        step="ALTER SEQUENCE audit_id_seq OWNED BY NONE",
        schema=True,
    ),
    "a table joins an extension, which only dependencies tell": _once(
        step="ALTER EXTENSION plpgsql ADD FUNCTION note()", who="root", schema=True
    ),
    "a function goes with an extension, which only dependencies tell": _once(
        step="ALTER FUNCTION note() DEPENDS ON EXTENSION plpgsql", who="root", schema=True
    ),
    "a catalogue is rewritten after a change of it": Story(
        ddl=_BASE,
        steps=(
            Step("root", "COMMENT ON TABLE t IS 'x'", schema=True),
            Step("root", "VACUUM FULL pg_description"),
            RESTORE,
        ),
    ),
    "large objects are rewritten after one was made": Story(
        ddl=_BASE,
        steps=(
            Step("a", "SELECT lo_from_bytea(0, 'x')"),
            Step("root", "VACUUM FULL pg_largeobject"),
            Step("root", "VACUUM FULL pg_largeobject_metadata"),
            RESTORE,
        ),
    ),
    "a lock that was there before the test is not taken away": Story(
        ddl=_BASE,
        steps=(
            Step("a", "SELECT pg_advisory_lock(1)"),
            PREPARE,
            Step("b", "SELECT pg_advisory_lock(2)"),
            RESTORE,
            Step("a", "INSERT INTO u VALUES (1)"),
            RESTORE,
        ),
    ),
    "a transaction was prepared when a sequence advanced": Story(
        ddl=("CREATE TABLE audit (id bigserial PRIMARY KEY, what text)", "CREATE TABLE egg (id int)"),
        steps=(
            RESTORE,
            Step("b", "SELECT nextval('audit_id_seq')"),
            Step("c", "BEGIN; UPDATE egg SET id = 500; PREPARE TRANSACTION 'x{database}'"),
            RESTORE,
        ),
    ),
    "an open transaction has something to say of the database when it is made anew": Story(
        ddl=_BASE,
        steps=(
            Step("b", "BEGIN; COMMENT ON DATABASE {database} IS 'x'"),
            Step("a", "CREATE TABLE new ()", schema=True),
            RESTORE,
        ),
    ),
    "a part of a transaction that was prepared": Story(
        ddl=_BASE,
        steps=(
            Step("b", "BEGIN; SAVEPOINT s; UPDATE t SET n = 7; RELEASE s; PREPARE TRANSACTION 'x{database}'"),
            Step("a", "INSERT INTO u VALUES (1)"),
            RESTORE,
        ),
    ),
    "a view holds what its query does not give, and is refreshed": Story(
        ddl=(*_BASE, "CREATE MATERIALIZED VIEW m AS SELECT count(*) AS n FROM t", "INSERT INTO t VALUES (6, 6)"),
        steps=(Step("a", "REFRESH MATERIALIZED VIEW m", schema=True), RESTORE),
    ),
}  # fmt: skip


# In a long run every story is played in every world, else in one of them, each in another.
_CHOSEN = [
    (way, what)
    for place, way in enumerate(WAYS)
    for number, what in enumerate(STORIES)
    if LONG or (way == "owner" if "hidden" in what else place == number % len(WAYS))
]


@pytest.mark.parametrize(("world", "what"), _CHOSEN, indirect=["world"], scope="session")
def test_what_went_wrong_once_goes_well(world: World, what: str) -> None:
    """A story that the oracle once found fault with leaves the database as it was."""
    play(world, STORIES[what])
