"""What the server said, in the error of whatever driver."""

from __future__ import annotations

# What pg8000 calls by the letters of the protocol, and psycopg by these names.
_LETTERS = {
    "sqlstate": "C", "schema_name": "s", "table_name": "t", "column_name": "c", "datatype_name": "d",
    "constraint_name": "n",
}  # fmt: skip
# What asyncpg calls otherwise than psycopg.
_OF_ASYNCPG = {"datatype_name": "data_type_name"}


def message(error: BaseException) -> str:
    """The first line of its message; the name of the error's class where there is none."""
    letters = _letters(error)
    text = str(letters.get("M", "")) if letters is not None else str(error)
    return (text.strip().splitlines() or [""])[0] or type(error).__name__


def fields(error: BaseException) -> dict[str, str] | None:
    """The SQLSTATE, and the names of what the error is about, by psycopg's names; None when the server said nothing.

    psycopg and psycopg2 have them in `diag`, asyncpg in the exception itself, pg8000 in a dictionary. SQLAlchemy wraps
    them, and its adapter for asyncpg wraps them once more.
    """
    seen = set[int]()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        letters = _letters(each)
        if letters is not None:
            return {name: str(letters.get(letter, "")) for name, letter in _LETTERS.items()}
        told = getattr(each, "diag", None) or each
        state = getattr(told, "sqlstate", None) or getattr(each, "pgcode", None)
        if state is not None and hasattr(told, "constraint_name"):
            return {name: _field(told, name) for name in _LETTERS} | {"sqlstate": str(state)}
        each = getattr(each, "orig", None) or each.__cause__
    return None


def _field(told: object, name: str) -> str:
    return str(getattr(told, name, None) or getattr(told, _OF_ASYNCPG.get(name, name), None) or "")


def _letters(error: BaseException) -> dict[str, object] | None:
    first: object = error.args[0] if error.args else None
    return first if isinstance(first, dict) and "C" in first else None
