"""Operations that leave something in a session, or a session in something."""

from __future__ import annotations

from collections.abc import Sequence

from tests.oracle import rows
from tests.oracle.dice import Dice
from tests.oracle.model import Model
from tests.oracle.stories import CLIENTS, RESTORE, ROOT, Step, leave


def stay_open(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A transaction that is not ended."""
    return [Step(who, f"BEGIN; {rows.change(dice, model)}")]


def end_open(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Whatever was open is ended, at times after one more change."""
    del model, who
    return [Step(client, dice.pick(["COMMIT", "COMMIT", "ROLLBACK"])) for client in CLIENTS]


def open_read(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A session that has read stays in its transaction."""
    level = dice.pick(["", " ISOLATION LEVEL REPEATABLE READ"])
    return [Step(who, f"BEGIN{level}; SELECT * FROM {dice.pick(model.tables).name}")]


def open_lock(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A session holds locks."""
    name = dice.pick(model.tables).name
    return [Step(who, dice.pick([f"BEGIN; SELECT 1 FROM {name} FOR UPDATE", f"BEGIN; LOCK TABLE {name} IN SHARE MODE",
                                 f"BEGIN; LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE"]))]  # fmt: skip


def open_ddl(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """DDL in a transaction that is not ended."""
    number = dice.number(0, 9)
    return [Step(who, dice.pick([f"BEGIN; CREATE TABLE pending{number} (id serial)",
                                 f"BEGIN; COMMENT ON TABLE {dice.pick(model.tables).name} IS 'pending'",
                                 f"BEGIN; CREATE FUNCTION pending{number}() RETURNS int LANGUAGE sql AS 'SELECT 1'",
                                 ]), schema=True)]  # fmt: skip


def open_subtransaction(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A subtransaction of a transaction that is not ended, which others overtake."""
    before = dice.pick(["", "SELECT pg_current_xact_id(); "])
    return [Step(who, f"BEGIN; {before}SAVEPOINT s; {rows.change(dice, model)}; RELEASE s"),
            Step(dice.pick(CLIENTS), dice.pick([rows.change(dice, model), "SELECT pg_current_xact_id()"]))]  # fmt: skip


def across(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A transaction, or a part of one, that a restore comes between, and that is committed after it."""
    opened = dice.pick([stay_open, open_subtransaction, open_ddl, open_subtransaction_ddl])(dice, model, who)
    other = dice.pick([client for client in CLIENTS if client != who])
    between = [Step(other, rows.change(dice, model))] if dice.chance(2) else []
    return [*opened, *between, RESTORE, Step(who, dice.pick(["COMMIT", "COMMIT", "ROLLBACK"]))]


def open_subtransaction_ddl(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """DDL that changes a row of a catalogue, in a subtransaction of a transaction that is not ended."""
    del model
    statement = dice.pick(["ALTER FUNCTION note() COST 7", "COMMENT ON FUNCTION note() IS 'pending'",
                           "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'", "CREATE SCHEMA pending",
                           "COMMENT ON DATABASE {database} IS 'pending'"])  # fmt: skip
    return [Step(who, f"BEGIN; SAVEPOINT s; {statement}; RELEASE s", schema=True),
            Step(who if dice.chance(3) else dice.pick(CLIENTS), "SELECT pg_current_xact_id()")]  # fmt: skip


def two_phase(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A prepared transaction is left behind, not by the superuser: a role may not end it, and is told so."""
    who = CLIENTS[0] if who == ROOT else who
    name = f"gid%{dice.number(0, 9)}-{{database}}"
    return [Step(who, f"BEGIN; {rows.change(dice, model)}; PREPARE TRANSACTION '{name}'")]


def two_phase_ended(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A transaction is prepared, and ended."""
    name = f"done-{dice.number(0, 9)}-{{database}}"
    end = dice.pick(["COMMIT", "ROLLBACK"])
    return [Step(who, f"BEGIN; {rows.change(dice, model)}; PREPARE TRANSACTION '{name}'"),
            Step(who, f"{end} PREPARED '{name}'")]  # fmt: skip


def advisory(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """An advisory lock is taken."""
    del model
    number = dice.number(1, 3)
    return [Step(who, dice.pick([
        f"SELECT pg_advisory_lock({number})", f"SELECT pg_advisory_lock_shared({number}, 2)",
        f"SELECT pg_try_advisory_lock({number})", f"SELECT pg_advisory_xact_lock({number})",
        f"BEGIN; SELECT pg_advisory_xact_lock({number})", f"SELECT pg_advisory_unlock({number})",
    ]))]  # fmt: skip


def temporary(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Temporary things stay in the session."""
    number = dice.number(0, 3)
    return [Step(who, dice.pick([
        f"CREATE TEMP TABLE temp{number} (id serial PRIMARY KEY, t text UNIQUE, r int4range CHECK (NOT isempty(r)))",
        f"CREATE TEMP TABLE temp{number} AS SELECT * FROM {dice.pick(model.tables).name}",
        f"CREATE TEMP TABLE temp{number} (id int PRIMARY KEY) ON COMMIT DROP",
        f"INSERT INTO temp{number} DEFAULT VALUES",
        f"COMMENT ON TABLE temp{number} IS 'temporary'", f"CREATE INDEX ON temp{number} ((1))",
        f"COMMENT ON COLUMN temp{number}.id IS 'temporary'",
        f"DROP TABLE temp{number}", f"ANALYZE temp{number}", f"TRUNCATE temp{number}",
        f"CREATE TEMP VIEW tempview{number} AS SELECT * FROM {dice.pick(model.tables).name}",
        f"CREATE TEMP SEQUENCE tempseq{number}",
        f"CREATE FUNCTION pg_temp.f{number}() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        f"CREATE TYPE pg_temp.mood{number} AS ENUM ('a')",
        f"CREATE DOMAIN pg_temp.d{number} AS int CHECK (VALUE > 0)",
        f"ALTER TABLE temp{number} ADD extra int DEFAULT 1",
        f"GRANT SELECT ON temp{number} TO oracle_other",
        f"CREATE TEMP TABLE temp{number} (id int REFERENCES temp{(number + 1) % 4})",
        f"CREATE TRIGGER tr BEFORE INSERT ON temp{number} FOR EACH ROW EXECUTE FUNCTION swallow()",
        f"ALTER TABLE temp{number} ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON temp{number} USING (true)",
        f"CREATE STATISTICS pg_temp.st{number} ON id, t FROM temp{number}",
        "CREATE OPERATOR pg_temp.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
        (f"CREATE TEMP TABLE temp{number} (id int, k int) PARTITION BY LIST (k);"
        f" CREATE TEMP TABLE temp{number}_p PARTITION OF temp{number} DEFAULT"),
        f"CREATE RULE ru AS ON INSERT TO temp{number} DO ALSO SELECT 1",
        f"CREATE CAST (pg_temp.mood{number} AS int4range) WITH INOUT",
        f"CREATE AGGREGATE pg_temp.agg{number} (int) (SFUNC = int4pl, STYPE = int)",
        "DISCARD TEMP",
    ]))]  # fmt: skip


def cursor(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A cursor outlives its transaction."""
    return [
        Step(who, f"DECLARE c{dice.number(0, 99)} CURSOR WITH HOLD FOR SELECT * FROM {dice.pick(model.tables).name}")
    ]


def depart(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A session is closed."""
    del dice, model
    return [leave(who)]


def listen(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Notifications, which write nothing."""
    del model
    return [Step(who, dice.pick(["LISTEN here", "NOTIFY here, 'x'", "UNLISTEN *", "SET synchronous_commit = on",
                                 "SELECT pg_current_xact_id()", "SET jit = off", "CHECKPOINT"]))]  # fmt: skip


OPERATIONS = (
    stay_open, end_open, end_open, open_read, open_lock, open_ddl, open_subtransaction, across, across, two_phase,
    two_phase_ended, advisory, temporary, temporary, temporary, cursor, depart, listen,
)  # fmt: skip
