"""Operations that keep rows and schema as they are, and write all the same."""

from __future__ import annotations

from collections.abc import Sequence

from tests.oracle import rows
from tests.oracle.dice import Dice
from tests.oracle.model import Model
from tests.oracle.stories import Step


def refresh(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A materialized view is refreshed or emptied, at times after a change of what it reads."""
    if not model.views:
        return vacuum(dice, model, who)
    view = dice.pick(model.views)
    statement = dice.pick([f"REFRESH MATERIALIZED VIEW {view}", f"REFRESH MATERIALIZED VIEW CONCURRENTLY {view}",
                           f"REFRESH MATERIALIZED VIEW {view} WITH NO DATA"])  # fmt: skip
    before = [Step(who, rows.change(dice, model))] if dice.chance(2) else []
    return [*before, Step(who, statement, schema=bool(model.stale))]


def vacuum(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Files are swept, rewritten or analyzed."""
    name = dice.pick(model.tables).name
    return [Step(who, dice.pick([
        f"VACUUM {name}", f"VACUUM FULL {name}", f"VACUUM FREEZE {name}", f"ANALYZE {name}", "ANALYZE",
        f"VACUUM (FREEZE, ANALYZE) {name}", f"REINDEX TABLE {name}", "VACUUM FULL pg_class",
        "VACUUM FREEZE pg_attribute", "VACUUM FULL pg_enum", "VACUUM FULL pg_description", "VACUUM FULL pg_type",
        "VACUUM FULL pg_db_role_setting", "VACUUM FULL pg_inherits",
        "REINDEX TABLE pg_class", "VACUUM pg_trigger",
    ]))]  # fmt: skip


def undone(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """DDL that is rolled back."""
    name = dice.pick(model.tables).name
    return [Step(who, f"BEGIN; {statement}; ROLLBACK") for statement in [dice.pick([
        "CREATE TABLE never (id serial PRIMARY KEY)", f"ALTER TABLE {name} ADD never int DEFAULT 5",
        f"DROP TABLE {name}",
        f"DROP TABLE {name} CASCADE", "CREATE SCHEMA never", f"ALTER TABLE {name} RENAME TO never",
        f"TRUNCATE {name} CASCADE",
        f"CREATE INDEX ON {name} ((2))", "ALTER TYPE mood ADD VALUE 'never'", "DROP SCHEMA public CASCADE",
        "COMMENT ON SCHEMA public IS 'never'", "ALTER DATABASE {database} SET jit = on",
        "COMMENT ON DATABASE {database} IS 'never'", f"ALTER TABLE {name} DISABLE TRIGGER ALL",
        "GRANT CREATE ON DATABASE {database} TO oracle_other",
    ])]]  # fmt: skip


def made_and_dropped(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """DDL that the test itself puts right."""
    name = dice.pick(model.tables).name
    pair = dice.pick([
        ("CREATE TABLE brief (id serial PRIMARY KEY, t text)", "DROP TABLE brief"),
        ("CREATE SCHEMA brief", "DROP SCHEMA brief"),
        ("CREATE FUNCTION brief() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION brief"),
        ("CREATE VIEW brief AS SELECT 1", "DROP VIEW brief"),
        ("CREATE TYPE brief AS ENUM ('a')", "DROP TYPE brief"),
        ("CREATE SEQUENCE brief", "DROP SEQUENCE brief"),
        ("CREATE MATERIALIZED VIEW brief AS SELECT 1", "DROP MATERIALIZED VIEW brief"),
        ("CREATE UNLOGGED TABLE brief (id int)", "DROP TABLE brief"),
        (f"ALTER TABLE {name} DISABLE TRIGGER USER", f"ALTER TABLE {name} ENABLE TRIGGER USER"),
        ("CREATE EXTENSION fuzzystrmatch", "DROP EXTENSION fuzzystrmatch"),
        ("CREATE DOMAIN brief AS int CHECK (VALUE > 0)", "DROP DOMAIN brief"),
    ])  # fmt: skip
    # Some of them set a mark on a table for ever.
    marked = "TRIGGER" in pair[0]
    return [Step(who, statement, schema=marked) for statement in pair]


OPERATIONS = (refresh, refresh, vacuum, undone, made_and_dropped)
