"""Which constraint an error tells of."""

from __future__ import annotations

from pytest_pristine.verify.schema_coverage.objects import CHECK, EXCLUDE, FOREIGN_KEY, UNIQUE, Schema

NOT_NULL_VIOLATION = "23502"
# 23001 is what PostgreSQL 18 says of ON DELETE RESTRICT.
_KINDS = {"23505": UNIQUE, "23514": CHECK, "23503": FOREIGN_KEY, "23001": FOREIGN_KEY, "23P01": EXCLUDE}


def provoked(schema: Schema, error: BaseException | None) -> int | None:
    """The number of the constraint that an error of a driver tells of; None when it tells of none.

    psycopg and psycopg2 have the server's fields in `diag`, asyncpg in the exception itself. SQLAlchemy wraps them, and
    its adapter for asyncpg wraps them once more.
    """
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        told = getattr(error, "diag", None) or error
        state = getattr(told, "sqlstate", None) or getattr(error, "pgcode", None)
        if state is not None and hasattr(told, "constraint_name"):
            return _find(schema, str(state), told)
        error = getattr(error, "orig", None) or error.__cause__
    return None


def _find(schema: Schema, state: str, told: object) -> int | None:
    space, table, column, domain, name = (
        str(getattr(told, field, None) or "")
        for field in ("schema_name", "table_name", "column_name", "datatype_name", "constraint_name")
    )
    # asyncpg has another name for it.
    domain = domain or str(getattr(told, "data_type_name", None) or "")
    if state == NOT_NULL_VIOLATION:
        return schema.not_null.get((space, table, column)) if table else schema.domains.get((space, domain, ""))
    kind = _KINDS.get(state)
    if kind is None:
        return None
    if domain and not table:
        return schema.domains.get((space, domain, name))
    return schema.constraints.get((kind, space, table, name))
