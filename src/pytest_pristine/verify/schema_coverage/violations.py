"""Which constraint an error tells of."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_pristine.postgres import said
from pytest_pristine.verify.schema_coverage.objects import CHECK, EXCLUDE, FOREIGN_KEY, UNIQUE, Schema

NOT_NULL_VIOLATION = "23502"
# 23001 is what PostgreSQL 18 says of ON DELETE RESTRICT.
_KINDS = {"23505": UNIQUE, "23514": CHECK, "23503": FOREIGN_KEY, "23001": FOREIGN_KEY, "23P01": EXCLUDE}


def provoked(schema: Schema, error: BaseException | None) -> int | None:
    """The number of the constraint that an error of a driver tells of; None when it tells of none."""
    told = None if error is None else said.fields(error)
    return None if told is None else _find(schema, told["sqlstate"], told)


def _find(schema: Schema, state: str, told: Mapping[str, str]) -> int | None:
    space, table, column, domain, name = (
        told[field] for field in ("schema_name", "table_name", "column_name", "datatype_name", "constraint_name")
    )
    if state == NOT_NULL_VIOLATION:
        return schema.not_null.get((space, table, column)) if table else schema.domains.get((space, domain, ""))
    kind = _KINDS.get(state)
    if kind is None:
        return None
    if domain and not table:
        return schema.domains.get((space, domain, name))
    return schema.constraints.get((kind, space, table, name))
