"""Operations on privileges."""

from __future__ import annotations

from collections.abc import Sequence

from tests.oracle.dice import Dice
from tests.oracle.model import Model
from tests.oracle.stories import Step

_STATEMENTS = (
    "GRANT SELECT ON {table} TO oracle_other",
    "GRANT SELECT ON {table} TO PUBLIC",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO oracle_other",
    "REVOKE SELECT ON {table} FROM oracle_other",
    "REVOKE ALL ON {table} FROM CURRENT_USER",
    "REVOKE DELETE ON {table} FROM CURRENT_USER",
    "GRANT UPDATE ({column}) ON {table} TO oracle_other",
    "GRANT USAGE ON SCHEMA public TO oracle_other",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION note() TO oracle_other",
    "REVOKE EXECUTE ON FUNCTION note() FROM PUBLIC",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO oracle_other",
    "GRANT CREATE ON DATABASE {database} TO oracle_other",
    "REVOKE CONNECT ON DATABASE {database} FROM PUBLIC",
    "GRANT USAGE ON TYPE mood TO oracle_other",
    "REVOKE USAGE ON TYPE mood FROM PUBLIC",
    "GRANT USAGE ON LANGUAGE plpgsql TO oracle_other",
    "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO oracle_other",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    "REASSIGN OWNED BY CURRENT_USER TO oracle_other",
)


def grant(dice: Dice, model: Model, who: str) -> Sequence[Step]:
    """Privileges are given or taken."""
    table = dice.pick(model.tables)
    words = {"table": table.name, "column": dice.pick(table.columns).name}
    statement = dice.pick(_STATEMENTS)
    for word, value in words.items():
        statement = statement.replace(f"{{{word}}}", value)
    return [Step(who, statement, schema=True)]


OPERATIONS = (grant,)
