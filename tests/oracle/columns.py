"""Columns of many types, with values that text formats get wrong."""

from __future__ import annotations

from tests.oracle.dice import Dice
from tests.oracle.model import Column, quote

# Types of the schema's own.
TYPES = (
    "CREATE TYPE mood AS ENUM ('sad', 'glad', 'a''b')",
    "CREATE DOMAIN positive AS int CHECK (VALUE > 0)",
    "CREATE TYPE point3 AS (x int, y int, z text)",
)

_ODD_NUMBERS = "(ARRAY['NaN', '-Infinity', '-0', '0.1', '1e-300'])[1 + {g} % 5]"
_ODD_TEXTS = r"(ARRAY[E'a\tb', E'\\N', E'\\.', E'x\r\ny', '', '%s ''q'' \"d\"', 'Ünï'])[1 + {g} % 7]"
_VALUES = (
    ("int", "({g} % 50)::int"),
    ("bigint", "{g} * 100000000000"),
    ("smallint", "({g} % 100)::smallint"),
    ("text", "'text ' || {g}"),
    ("text", _ODD_TEXTS),
    ("text", "repeat(md5(({g})::text), 300)"),
    ('varchar(20) COLLATE "C"', "'v' || {g} % 7"),
    ("char(5)", "'c' || {g} % 9"),
    ("bytea", "decode(md5(({g})::text), 'hex')"),
    ("float8", "({g}) / 3.0::float8"),
    ("float8", f"{_ODD_NUMBERS}::float8"),
    ("float4", "({g}) / 7.0::float4"),
    ("numeric", "({g}) * 1.00100"),
    ("numeric(12,3)", "({g}) * 1.001"),
    ("bool", "({g}) % 2 = 0"),
    ("date", "CASE WHEN {g} % 9 = 0 THEN '-infinity' ELSE '2024-01-01'::date + ({g} % 1000)::int END"),
    ("timestamptz", "'2024-01-01 10:00+02'::timestamptz + {g} * interval '1.000001 s'"),
    ("timestamp", "'1000-01-01 BC'::timestamp + {g} * interval '1 day'"),
    ("interval", "({g} % 13) * interval '-1 mon 2 days 3.5 s'"),
    ("uuid", "md5(({g})::text)::uuid"),
    ("jsonb", "jsonb_build_object('k', E'\\\\N\\n', 'n', {g})"),
    ("json", "'{\"b\": 1,  \"a\": [null]}'::json"),
    ("int[]", "ARRAY[NULL, {g}]::int[]"),
    ("text[]", "ARRAY['a,b', NULL, '\"', '\\', '', 'n' || {g}]"),
    ("int4range", "int4range(({g} % 50)::int, ({g} % 50)::int + 3)"),
    ("int4multirange", "'{[1,3), [5,9)}'::int4multirange"),
    ("inet", "'10.0.0.0/8'::inet + {g}"),
    ("tsvector", "to_tsvector('simple', 'a b' || {g})"),
    ("point", "point({g}, 0.1)"),
    ("bit(3)", "({g} % 8)::int::bit(3)"),
    ('"char"', "'x'::\"char\""),
    ("name", "'n' || {g}"),
    ("regclass", "'pg_class'::regclass"),
    ("money", "({g})::int::money"),
    ("pg_lsn", "'0/1C12000'::pg_lsn + {g}"),
    ("mood", "(ARRAY['sad', 'glad', 'a''b'])[1 + {g} % 3]::mood"),
    ("positive", "1 + ({g} % 40)::int"),
    ("point3", "ROW({g}, NULL, E'a\"b\\t')::point3"),
)  # fmt: skip
_NAMES = (
    "c",
    "select",
    'a"b',
    "%s",
    "Ünï cödé",
    "a column of sixty-three bytes, which is all that postgres keep",
    "x.y",
)


def column(dice: Dice, number: int) -> Column:
    """A column that holds data."""
    kind, value = dice.pick(_VALUES)
    if dice.chance(4):
        value = f"CASE WHEN {{g}} % 3 = 0 THEN NULL ELSE {value} END"
    further = dice.pick(["", "", "", " DEFAULT NULL", " STORAGE EXTERNAL" if kind == "text" else ""])
    stem = dice.pick(_NAMES)
    # Two of one name in a table would be an error.
    return Column(quote(f"{number}{stem}"[:62]), kind + further.replace(" STORAGE EXTERNAL", ""), value)
