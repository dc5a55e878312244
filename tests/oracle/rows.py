"""Operations on rows, sequences and large objects."""

from __future__ import annotations

from collections.abc import Sequence

from tests.oracle.dice import Dice
from tests.oracle.model import ROW, Model, Table
from tests.oracle.stories import Step

_FEW, _BULK = (1, 1, 2, 5, 60), 20_000


def _where(dice: Dice, table: Table) -> str:
    return dice.pick([
        "", f" WHERE ctid IN (SELECT ctid FROM {table.name} ORDER BY 1 LIMIT {dice.number(1, 3)})",
        " WHERE abs(hashtext(ctid::text)) % 3 = 0",
    ])  # fmt: skip


def change(dice: Dice, model: Model) -> str:
    """One statement that writes rows."""
    return dice.pick([_insert, _insert, _update, _update, _delete, _heir, _part])(dice, model)


def _insert(dice: Dice, model: Model) -> str:
    also = dice.pick(["", "", "", "ON CONFLICT DO NOTHING"])
    many = _BULK if dice.chance(40) else dice.pick(_FEW)
    return dice.pick(model.tables).insert(dice.pick([0, 1000, 2000, 3000]), many, also=also)


def _update(dice: Dice, model: Model) -> str:
    table = dice.pick(model.tables)
    column = dice.pick([each for each in table.columns if each.value is not None and each.changeable] or [None])
    if column is None:
        return _insert(dice, model)
    number = dice.pick(["500", "(SELECT 501)", "((ctid::text::point)[0]::int + 700)"])
    value = dice.pick([str(column.value).replace(ROW, number), str(column.value).replace(ROW, number), column.name])
    return f"UPDATE {table.name} SET {column.name} = {value}{_where(dice, table)}"


def _delete(dice: Dice, model: Model) -> str:
    table = dice.pick(model.tables)
    return f"DELETE FROM {table.name}{_where(dice, table)}"


def _heir(dice: Dice, model: Model) -> str:
    table = dice.pick(model.tables)
    return f"UPDATE ONLY {table.name} SET {table.columns[0].name} = {table.columns[0].name}"


def _part(dice: Dice, model: Model) -> str:
    parted = [table for table in model.tables if table.parts]
    if not parted:
        return _delete(dice, model)
    part = dice.pick(dice.pick(parted).parts)
    return dice.pick([f"DELETE FROM {part}", f"TRUNCATE {part}", f"UPDATE {part} SET id = id + 1"])


def committed(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A statement by itself."""
    return [Step(who, change(dice, model))]


def several(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Statements in one transaction."""
    return [Step(who, f"BEGIN; {change(dice, model)}; {change(dice, model)}; {dice.pick(['COMMIT', 'ROLLBACK'])}")]


def savepoints(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Subtransactions, of which some are rolled back."""
    middle = dice.pick(["ROLLBACK TO s", "RELEASE s", "ROLLBACK TO s; RELEASE s"])
    first, second, third = (change(dice, model) for _ in range(3))
    return [Step(who, f"BEGIN; {first}; SAVEPOINT s; {second}; {middle}; SAVEPOINT u; {third}; COMMIT")]


def handled(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Statements of a block that catches their errors."""
    return [Step(who, f"DO $do$ BEGIN {change(dice, model)}; BEGIN {change(dice, model)}; EXCEPTION WHEN OTHERS THEN"
                      f" NULL; END; END $do$")]  # fmt: skip


def prepared(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A prepared statement that stays, run again and again."""
    name = f"p{dice.number(0, 3)}"
    return dice.pick([[Step(who, f"PREPARE {name} AS {change(dice, model)}"), Step(who, f"EXECUTE {name}")],
                      [Step(who, f"EXECUTE {name}")]])  # fmt: skip


def truncate(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """TRUNCATE."""
    tables = [table.name for table in dice.some(model.tables, 3)] or [dice.pick(model.tables).name]
    further = dice.pick(["", " CASCADE", " RESTART IDENTITY CASCADE", " RESTART IDENTITY"])
    return [Step(who, f"TRUNCATE {dice.pick(['', 'ONLY '])}{', '.join(tables)}{further}")]


def copy(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """COPY."""
    table = dice.pick(model.tables)
    texts = [each for each in table.columns if each.value is not None][:1]
    if not texts:
        return []
    data = "".join(f"{dice.pick(['7001', '7002', 'abc', chr(92) + 'N', '(1,2,x)', '[90,91)'])}\n" for _ in range(2))
    return [Step(who, f"COPY {table.name} ({texts[0].name}) FROM STDIN", data)]


def merge(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """MERGE."""
    table = dice.pick(model.tables)
    action = dice.pick([
        "WHEN MATCHED THEN DELETE", f"WHEN MATCHED THEN UPDATE SET {table.columns[0].name} = DEFAULT",
        "WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
    ])  # fmt: skip
    source = f"(SELECT min(ctid) AS place FROM {table.name}) AS s"
    return [Step(who, f"MERGE INTO {table.name} t USING {source} ON t.ctid = s.place {action}")]


def overriding(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Keys by hand."""
    table = dice.pick(model.tables)
    key = table.columns[0].name
    return [Step(who, f"INSERT INTO {table.name} ({key}) OVERRIDING SYSTEM VALUE VALUES ({dice.number(1, 900)})")]


def without_triggers(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """What a superuser writes past triggers and foreign keys."""
    return [Step("root" if dice.chance(2) else who,
                 f"BEGIN; SET LOCAL session_replication_role = replica; {change(dice, model)}; COMMIT")]  # fmt: skip


def sequence(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A sequence is advanced or set."""
    name = dice.pick(model.sequences)
    statements = (
        f"SELECT nextval({name})",
        f"SELECT nextval({name})",
        f"SELECT nextval({name}) FROM generate_series(1, 40)",
        f"SELECT setval({name}, {dice.number(1, 5)}, {dice.pick(['true', 'false'])})",
        f"DO $do$ BEGIN EXECUTE format('ALTER SEQUENCE %s RESTART', ({name})::regclass); END $do$",
        f"BEGIN; SELECT nextval({name}); ROLLBACK",
        f"BEGIN; SELECT setval({name}, 2); ROLLBACK",
        f"DO $do$ BEGIN EXECUTE format('ALTER SEQUENCE %s RESTART WITH 3', ({name})::regclass); END $do$",
    )
    return [Step(who, dice.pick(statements))]


def large_object(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """A large object is made, or one of the baseline's changed."""
    new = (
        "SELECT lo_create(0)", "SELECT lo_from_bytea(0, 'new')", "SELECT lo_from_bytea(777, 'new')",
        "SELECT lo_put(777, 2, 'more')", "SELECT lo_unlink(777)", "BEGIN; SELECT lo_from_bytea(0, 'gone'); ROLLBACK",
        "SELECT lo_from_bytea(0, 'mine') FROM generate_series(1, 30)", "SELECT lo_unlink(lo_create(0))",
        "SELECT lo_get(4242)",
    )  # fmt: skip
    if not model.large_objects or dice.chance(2):
        return [Step(who, dice.pick(new))]
    old = ("SELECT lo_put(4242, 1, 'ept!')", "SELECT lo_unlink(4243)", "SELECT lo_put(4243, 8999, 'xyz')",
           "COMMENT ON LARGE OBJECT 4242 IS 'another'", "SELECT lo_unlink(4242)",
           "BEGIN; SELECT lo_unlink(4242); SELECT lo_from_bytea(4242, 'other'); COMMIT",
           "GRANT SELECT ON LARGE OBJECT 4242 TO oracle_other")  # fmt: skip
    return [Step(who, dice.pick(old), schema=True)]


def lock_rows(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Rows are locked, which writes to them and changes nothing."""
    how = dice.pick(["UPDATE", "SHARE", "KEY SHARE", "NO KEY UPDATE"])
    return [Step(who, f"SELECT 1 FROM {dice.pick(model.tables).name} FOR {how}")]


OPERATIONS = (
    committed, committed, committed, several, savepoints, handled, prepared, truncate, copy, merge, overriding,
    without_triggers, sequence, sequence, large_object, lock_rows,
)  # fmt: skip
