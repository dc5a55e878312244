"""What a server is and what our role may do on it."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg

from pytest_pristine.postgres import wal
from pytest_pristine.postgres.connections import Connection


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a server offers to the role that we connect as.

    Attributes:
        version: `server_version_num`, 180006 for 18.6.
        version_text: The same for people.
        role: The role.
        superuser: It is a superuser.
        createdb: It may create databases.
        replica: It may set `session_replication_role`, and so keep triggers and foreign keys out of a restore.
        wal: It may read the WAL, and so know what was written without asking.
        product: What the server says that it is: "PostgreSQL 18.6 on x86_64-pc-linux-gnu, …".
    """

    version: int
    version_text: str
    role: str
    superuser: bool
    createdb: bool
    replica: bool
    wal: bool
    product: str = ""

    @property
    def major(self) -> int:
        """The major version."""
        return self.version // 10000


_QUERY = """
    SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_user::text,
           rolsuper, rolsuper OR rolcreatedb, version()
    FROM pg_roles WHERE rolname = current_user
"""


def inspect(connection: Connection) -> Capabilities:
    """Ask a server for its capabilities."""
    row = connection.execute(_QUERY).fetchone()
    if row is None:
        raise LookupError("the current role is not in pg_roles")
    version, text, role, superuser, createdb, product = row
    number = str(text).split(maxsplit=1)[0]  # distributors append their own words: "15.18 (Debian 15.18-0+deb12u1)"
    replica, may_read = _replica(connection), wal.reader(connection) is not None
    may = (bool(superuser), bool(createdb), replica, may_read)
    return Capabilities(int(str(version)), number, str(role), *may, product=str(product))


def _replica(connection: Connection) -> bool:
    """Whether the role may set `session_replication_role`: a superuser, or since version 15 whoever was granted it."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("SET LOCAL session_replication_role = replica")
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True
