"""Operations that change the schema."""

from __future__ import annotations

from collections.abc import Sequence

from tests.oracle.dice import Dice
from tests.oracle.model import Model
from tests.oracle.stories import Step

_NEW = (
    "CREATE TABLE new{n} (id serial PRIMARY KEY, t text)",
    "CREATE TABLE new{n} AS SELECT * FROM {table}",
    "CREATE TABLE new{n} (LIKE {table} INCLUDING ALL)",
    "CREATE TABLE new{n} () INHERITS ({table})",
    "CREATE UNLOGGED TABLE new{n} (id int)",
    "CREATE TABLE new{n} (id int REFERENCES {table})",
    "CREATE VIEW new{n} AS SELECT * FROM {table}",
    "CREATE MATERIALIZED VIEW new{n} AS SELECT * FROM {table}",
    "CREATE SEQUENCE new{n}",
    "CREATE SCHEMA new{n}",
    "CREATE SCHEMA new{n} CREATE TABLE t (id int) CREATE VIEW v AS SELECT 1",
    "CREATE FUNCTION new{n}() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$",
    "CREATE PROCEDURE new{n}() LANGUAGE sql AS 'SELECT 1'",
    "CREATE AGGREGATE new{n} (int) (SFUNC = int4pl, STYPE = int)",
    "CREATE TYPE new{n} AS ENUM ('a')",
    "CREATE TYPE new{n} AS RANGE (subtype = int)",
    "CREATE DOMAIN new{n} AS int CHECK (VALUE > 0)",
    "CREATE TYPE new{n} AS (a int)",
    "CREATE TRIGGER new{n} BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION swallow()",
    "CREATE RULE new{n} AS ON DELETE TO {table} DO INSTEAD NOTHING",
    "CREATE POLICY new{n} ON {table} USING (true)",
    "CREATE INDEX new{n} ON {table} ((3))",
    "CREATE INDEX CONCURRENTLY new{n} ON {table} ((4))",
    "CREATE STATISTICS new{n} ON (1 + length({column}::text)) FROM {table}",
    "CREATE EXTENSION pg_trgm",
    "CREATE EXTENSION hstore SCHEMA public",
    'CREATE COLLATION new{n} FROM "C"',
    "CREATE TEXT SEARCH CONFIGURATION new{n} (COPY = simple)",
    "CREATE TEXT SEARCH DICTIONARY new{n} (TEMPLATE = simple)",
    "CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq)",
    "CREATE CAST (mood AS int4range) WITH INOUT",
    "CREATE PUBLICATION new{n} FOR TABLE {table}",
    "CREATE PUBLICATION new{n} FOR ALL TABLES",
    "CREATE FOREIGN DATA WRAPPER new{n}",
    (
        "CREATE FOREIGN DATA WRAPPER new{n}; CREATE SERVER new{n} FOREIGN DATA WRAPPER new{n};"
        " CREATE USER MAPPING FOR CURRENT_USER SERVER new{n}"
    ),
    "CREATE EVENT TRIGGER new{n} ON ddl_command_end EXECUTE FUNCTION pg_catalog.event_trigger_none()",
    "CREATE ACCESS METHOD new{n} TYPE TABLE HANDLER heap_tableam_handler",
    "SELECT lo_from_bytea(888, 'x'); COMMENT ON LARGE OBJECT 888 IS 'new'",
    "CREATE LANGUAGE new{n} HANDLER plpgsql_call_handler",
    "CREATE CONVERSION new{n} FOR 'UTF8' TO 'LATIN1' FROM utf8_to_iso8859_1",
    "CREATE OPERATOR CLASS new{n} FOR TYPE int USING hash AS OPERATOR 1 =",
    "SECURITY LABEL ON TABLE {table} IS 'x'",
)
_CHANGES = (
    "ALTER TABLE {table} ADD added int",
    "ALTER TABLE {table} ADD added int DEFAULT 7",
    "ALTER TABLE {table} ADD added serial",
    "ALTER TABLE {table} DROP COLUMN {column}",
    "ALTER TABLE {table} DROP COLUMN {column} CASCADE",
    "ALTER TABLE {table} ALTER {column} TYPE text USING {column}::text",
    "ALTER TABLE {table} ALTER {column} SET DEFAULT NULL",
    "ALTER TABLE {table} ALTER {column} DROP DEFAULT",
    "ALTER TABLE {table} ALTER {column} SET NOT NULL",
    "ALTER TABLE {table} ALTER {column} DROP NOT NULL",
    "ALTER TABLE {table} ALTER {column} SET STATISTICS 50",
    "ALTER TABLE {table} ALTER {column} SET STORAGE PLAIN",
    "ALTER TABLE {table} ALTER {column} SET (n_distinct = 5)",
    "ALTER TABLE {table} ALTER {column} SET COMPRESSION pglz",
    "ALTER TABLE {table} ALTER {column} DROP IDENTITY",
    "ALTER TABLE {table} RENAME {column} TO renamed",
    "ALTER TABLE {table} RENAME TO renamed{n}",
    "ALTER TABLE {table} SET SCHEMA pg_catalog",
    "ALTER TABLE {table} SET SCHEMA other",
    "ALTER TABLE {table} SET (fillfactor = 50)",
    "ALTER TABLE {table} SET UNLOGGED",
    "ALTER TABLE {table} SET LOGGED",
    "ALTER TABLE {table} ADD CHECK (true)",
    "ALTER TABLE {table} ADD CHECK (true) NOT VALID",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} DISABLE TRIGGER USER",
    "ALTER TABLE {table} ENABLE TRIGGER USER",
    "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE {table} REPLICA IDENTITY NOTHING",
    "ALTER TABLE {table} CLUSTER ON {index}",
    "CLUSTER {table} USING {index}",
    "ALTER TABLE {table} OWNER TO oracle_other",
    "ALTER INDEX {index} RENAME TO renamed{n}",
    "ALTER INDEX {index} SET (fillfactor = 60)",
    "REINDEX TABLE CONCURRENTLY {table}",
    "DROP TABLE {table}",
    "DROP TABLE {table} CASCADE",
    "DROP TABLE audit CASCADE",
    "DROP INDEX {index}",
    "DROP FUNCTION note CASCADE",
    "DROP TYPE mood CASCADE",
    "DROP SCHEMA other CASCADE",
    "DROP SCHEMA public CASCADE",
    "DROP EXTENSION hstore CASCADE",
    "ALTER TYPE mood ADD VALUE 'new{n}'",
    "ALTER TYPE mood ADD VALUE 'new{n}' BEFORE 'sad'",
    "ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'",
    "ALTER TYPE point3 ADD ATTRIBUTE w int",
    "ALTER DOMAIN positive DROP CONSTRAINT positive_check",
    "ALTER DOMAIN positive SET DEFAULT 5",
    "ALTER FUNCTION note() SECURITY DEFINER",
    "ALTER FUNCTION note() RENAME TO noted",
    "ALTER SCHEMA other RENAME TO another",
    "ALTER SCHEMA public OWNER TO oracle_other",
    "ALTER STATISTICS st0 SET STATISTICS 5",
    "DROP STATISTICS st0",
    "DO $do$ BEGIN EXECUTE format('ALTER SEQUENCE %s INCREMENT 3', ({sequence})::regclass); END $do$",
    "DO $do$ BEGIN EXECUTE format('ALTER SEQUENCE %s CACHE 7', ({sequence})::regclass); END $do$",
    "DO $do$ BEGIN EXECUTE format('ALTER SEQUENCE %s OWNED BY NONE', ({sequence})::regclass); END $do$",
    "DO $do$ BEGIN EXECUTE format('DROP SEQUENCE %s CASCADE', ({sequence})::regclass); END $do$",
    (
        "DO $do$ DECLARE n name; BEGIN FOR n IN SELECT conname FROM pg_constraint "
        "WHERE conrelid = '{literal}'::regclass AND contype IN ('f', 'c', 'x', 'u')"
        " LOOP EXECUTE format('ALTER TABLE {escaped} DROP CONSTRAINT %I', n);"
        " END LOOP; END $do$"
    ),
    (
        "DO $do$ DECLARE n name; BEGIN FOR n IN SELECT conname FROM pg_constraint "
        "WHERE conrelid = '{literal}'::regclass AND contype = 'f'"
        " LOOP EXECUTE format('ALTER TABLE {escaped} ALTER CONSTRAINT %I DEFERRABLE', n);"
        " END LOOP; END $do$"
    ),
    "ALTER FUNCTION note() DEPENDS ON EXTENSION plpgsql",
    "ALTER EXTENSION plpgsql ADD TABLE {table}",
    "ALTER EXTENSION plpgsql ADD FUNCTION note()",
    "ALTER INDEX {index} DEPENDS ON EXTENSION plpgsql",
    "DO $do$ BEGIN EXECUTE format('ALTER SEQUENCE %s OWNED BY public.audit.what', ({sequence})::regclass); END $do$",
    "COMMENT ON TABLE {table} IS 'new'",
    "COMMENT ON TABLE {table} IS NULL",
    "COMMENT ON COLUMN {table}.{column} IS 'new'",
    "COMMENT ON SCHEMA public IS 'new'",
    "COMMENT ON FUNCTION note() IS 'new'",
    "COMMENT ON TYPE mood IS 'new'",
    "COMMENT ON EXTENSION plpgsql IS 'new'",
    "COMMENT ON DATABASE {database} IS 'new'",
    "COMMENT ON DATABASE {database} IS NULL",
    "ALTER DATABASE {database} SET work_mem = '9MB'",
    "ALTER DATABASE {database} RESET ALL",
    "ALTER DATABASE {database} CONNECTION LIMIT 100",
    "ALTER ROLE CURRENT_USER IN DATABASE {database} SET work_mem = '10MB'",
    "ALTER ROLE CURRENT_USER IN DATABASE {database} RESET ALL",
    "ALTER TABLE {part} ADD CHECK (true)",
    "ALTER TABLE {table} DETACH PARTITION {part}",
    "ALTER TABLE {part} NO INHERIT {table}",
    "DROP TABLE {part}",
    "ALTER VIEW {view} RENAME TO renamed{n}",
    "ALTER MATERIALIZED VIEW {view} RENAME TO renamed{n}",
    "DROP MATERIALIZED VIEW {view}",
    "CREATE UNIQUE INDEX ON {view} (n)",
    "ALTER TABLE {table} DISABLE TRIGGER {trigger}",
    "ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}",
    "DROP TRIGGER {trigger} ON {table}",
    "ALTER TRIGGER {trigger} ON {table} RENAME TO renamed",
    "ALTER POLICY p0 ON {table} USING (false)",
    "DROP POLICY p0 ON {table}",
    "DROP RULE r0 ON {table}",
    "ALTER TABLE {table} DISABLE RULE r0",
)


def make(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Something new."""
    return [_step(dice, model, who, dice.pick(_NEW))]


def alter(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Something is changed or dropped."""
    return [_step(dice, model, who, dice.pick(_CHANGES))]


def alter_with_rows(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A change of a table, and then rows for it."""
    table = dice.pick(model.tables)
    return [_step(dice, model, who, dice.pick(_CHANGES)), Step(who, table.insert(4000, 2))]


def _step(dice: Dice, model: Model, who: str, statement: str) -> Step:
    table = dice.pick(model.tables)
    if "{part}" in statement:
        table = next((each for each in model.tables if each.parts), table)
    trigger = '"g%0"'
    if "{trigger}" in statement and model.triggers:
        name, trigger = dice.pick(model.triggers)
        table = next((each for each in model.tables if each.name == name), table)
    words = {
        "table": table.name,
        "literal": table.name.replace("'", "''"),
        "escaped": table.name.replace("'", "''").replace("%", "%%"),
        "column": dice.pick(table.columns).name,
        "part": dice.pick(table.parts or (table.name,)),
        "n": str(dice.number(0, 99)),
        "index": dice.pick(model.indexes or ["no_index"]),
        "view": dice.pick(model.views or ["no_view"]),
        "sequence": dice.pick(model.sequences),
        "trigger": trigger,
    }
    for word, value in words.items():
        statement = statement.replace(f"{{{word}}}", value)
    return Step(who, statement, schema=True)


OPERATIONS = (make, alter, alter, alter_with_rows)
