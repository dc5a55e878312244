"""A schema as `pg_dump` writes it, taken apart so that two of them can be compared."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine.errors import BinariesError
from pytest_pristine.postgres import connections, urls
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.servers import clients

# Seconds that pg_dump waits for a lock that env.py may have left.
_PATIENCE = 30
# What stands before each object of a dump.
_HEADING = re.compile(r"^-- Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); Schema: (?P<schema>.*); Owner: .*$")
_TABLE = re.compile(r"CREATE (?:UNLOGGED |FOREIGN )?TABLE .*\($")

_TABLES = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Dump:
    """A database, as far as two migrations that do the same must agree on it.

    Attributes:
        objects: What makes each object, by its name: "TABLE public.users" -> "CREATE TABLE …". The columns of a table
            stand in the order of their names, as one that is dropped and added again comes last.
        rows: How many rows each table has. Their values are not compared: migrations may write the time into them.
    """

    objects: Mapping[str, str]
    rows: Mapping[str, int]


def take(url: URL) -> Dump:
    """Write a database down. Nobody may change it meanwhile.

    Raises:
        BinariesError: There is no pg_dump, or it cannot read this server.
        UnreachableError: There is no connection to be had.
    """
    command = [clients.program("pg_dump"), "--schema-only", f"--lock-wait-timeout={_PATIENCE}s"]
    done = subprocess.run(  # noqa: S603 - pg_dump
        command, env=clients.environment(url), capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode:
        said = urls.redact(done.stderr.strip(), url)
        raise BinariesError(f"the schema of {url.database!r}, written by pg_dump", said, ["see the server's log"])
    with connections.connect(url, "dump") as connection:
        return Dump(dict(_objects(done.stdout)), _rows(connection))


def differences(one: Dump, other: Dump) -> Iterator[str]:
    """How the second differs from the first, in words."""
    for name in sorted(one.objects.keys() | other.objects.keys()):
        before, after = one.objects.get(name), other.objects.get(name)
        if before is None:
            yield f"{name} is there, and was not"
        elif after is None:
            yield f"{name} is gone"
        elif before != after:
            yield f"{name} is another: {_changed(before, after)}"


def of_rows(one: Dump, other: Dump) -> Iterator[str]:
    """How the second differs from the first in numbers of rows, in the tables that both have."""
    for table in sorted(one.rows.keys() & other.rows.keys()):
        if one.rows[table] != other.rows[table]:
            yield f"{table} has {other.rows[table]} rows instead of {one.rows[table]}"


def _objects(dump: str) -> Iterator[tuple[str, str]]:
    name, lines = "", list[str]()
    for line in dump.splitlines():
        heading = _HEADING.match(line)
        if heading is None:
            lines.append(line)
            continue
        if name:
            yield name, _statement(lines)
        where = "" if heading["schema"] == "-" else f"{heading['schema']}."
        name, lines = f"{heading['type']} {where}{heading['name']}", []
    if name:
        yield name, _statement(lines)


def _statement(lines: list[str]) -> str:
    """The statements of one object, without comments and settings, which change from object to object."""
    kept = [line for line in lines if line and not line.startswith(("--", "SET ", "\\restrict", "\\unrestrict"))]
    begin = next((place for place, line in enumerate(kept) if _TABLE.match(line)), None)
    if begin is None:
        return "\n".join(kept)
    end = next(place for place, line in enumerate(kept) if place > begin and line.startswith(")"))
    columns = sorted(line.rstrip(",") for line in kept[begin + 1 : end])
    return "\n".join([*kept[: begin + 1], *columns, *kept[end:]])


def _changed(before: str, after: str) -> str:
    """The lines in which two statements differ."""
    old, new = before.splitlines(), after.splitlines()
    gone = [f"- {line.strip()}" for line in old if line not in new]
    come = [f"+ {line.strip()}" for line in new if line not in old]
    return "; ".join([*gone, *come]) or "the same lines in another order"


def _rows(connection: Connection) -> dict[str, int]:
    found = {}
    for schema, table in connection.execute(_TABLES).fetchall():
        counted = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(str(schema), str(table)))
        try:
            row = connection.execute(counted).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            continue  # a table of another role's, which migrations have no business with
        found[f"{schema}.{table}"] = int(str(row[0])) if row is not None else 0
    return found
