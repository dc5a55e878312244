"""The oracle: what a database holds, in the words of pg_dump and of a client that knows nothing of the product."""

from __future__ import annotations

import subprocess

from sqlalchemy.engine import URL

from tests.conftest import Server, clean_environment, wheel_binaries
from tests.oracle.places import Client

# What pg_dump does not tell: what materialized views hold, where sequences stand to the letter, and what belongs to no
# relation.
_VIEWS = "SELECT oid::regclass::text, relispopulated FROM pg_class WHERE relkind = 'm' ORDER BY oid"
_SEQUENCES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' AND relpersistence <> 't' ORDER BY oid"
_FURTHER = {
    "prepared transactions": "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY 1",
    "large objects": """
        SELECT oid, pg_get_userbyid(lomowner), lomacl::text, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY 1
    """,
    "triggers": """
        SELECT tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2
    """,
    "invalid indexes": "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1",
    "schemas": r"SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp_\d+$' ORDER BY 1",
    "constraints": """
        SELECT conrelid::regclass::text, conname, condeferrable, condeferred, convalidated FROM pg_constraint
        WHERE oid >= 16384 AND conrelid NOT IN (SELECT oid FROM pg_class WHERE relpersistence = 't')
          AND connamespace::regnamespace::text !~ '^pg_temp' ORDER BY 1, 2
    """,
    "members of extensions": """
        SELECT pg_describe_object(classid, objid, objsubid), refobjid, deptype FROM pg_depend
        WHERE deptype IN ('e', 'x') AND objid >= 16384 ORDER BY 1
    """,
}
_LOCKED = """
    SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
    WHERE datname = current_database() AND mode = 'AccessExclusiveLock' AND locktype = 'relation'
      AND relation IN (SELECT oid FROM pg_class WHERE relpersistence <> 't')
"""
_ADVISORY = """
    SELECT a.pid || ' ' || l.classid || ' ' || l.objid || ' ' || l.objsubid
    FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_database d ON d.oid = l.database
    WHERE l.locktype = 'advisory' AND d.datname = current_database() AND a.state = 'idle' AND a.usename = %s
"""


_SET_ONCE = ("SET default_tablespace = ", "SET default_table_access_method = ")


def dump(server: Server, database: str, client: Client) -> str:
    """All that a database holds, rows in an order of their own and its name masked.

    Args:
        server: Where it is.
        database: Its name.
        client: A session of the superuser in it.
    """
    text = _sorted(_sorted_rows(_pg_dump(server, database))) + "\n".join(_further(client))
    return text.replace(database, "DATABASE")


def is_readable(client: Client) -> bool:
    """Whether nobody keeps a table for himself."""
    return client.execute(_LOCKED).fetchone() == (0,)


def advisory_locks(client: Client, role: URL) -> set[str]:
    """Those that sessions of a role hold that are in no transaction; it can do nothing about those of others."""
    return {str(row[0]) for row in client.execute(_ADVISORY, [role.username])}


def _pg_dump(server: Server, database: str) -> str:
    where = server.url.set(drivername="postgresql", database=database).render_as_string(hide_password=False)
    command = [
        wheel_binaries().program("pg_dump"), "--create", "--large-objects", "--lock-wait-timeout=5000",
        "--dbname", where,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, check=False, env=clean_environment())
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def _further(client: Client) -> list[str]:
    lines = [f"{what}: {client.execute(query).fetchall()}" for what, query in _FURTHER.items()]
    for (name,) in client.execute(_SEQUENCES).fetchall():
        row = client.execute(f"SELECT last_value, is_called FROM {name}").fetchone()
        lines.append(f"sequence {name}: {row}")
    for name, populated in client.execute(_VIEWS).fetchall():
        rows = client.execute(f"SELECT v::text FROM {name} v ORDER BY 1").fetchall() if populated else None
        lines.append(f"materialized view {name}: {rows}")
    return lines


def _sorted(text: str) -> str:
    """Its entries in an order of their own: temporary things of living sessions have a say in that of pg_dump."""
    # It sets these when it needs them for the first time.
    lines = (line for line in text.split("\n") if not line.startswith(_SET_ONCE))
    entries = "\n".join(lines).split("\n--\n-- Name: ")
    return "\n--\n-- Name: ".join([entries[0], *sorted(entry.rstrip("\n") for entry in entries[1:])]) + "\n"


def _sorted_rows(text: str) -> str:
    lines: list[str] = []
    rows: list[str] | None = None
    for line in text.split("\n"):
        if rows is not None and line != "\\.":
            rows.append(line)
            continue
        if rows is not None:
            lines += sorted(rows)
            rows = None
        elif line.startswith("COPY "):
            rows = []
        # These two carry a random word.
        if not line.startswith(("\\restrict", "\\unrestrict")):
            lines.append(line)
    return "\n".join(lines) + "\n"
