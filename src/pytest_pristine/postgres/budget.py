"""How many connections a server has for a run, and how many each worker may have of them."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from pytest_pristine.errors import TooFewConnectionsError
from pytest_pristine.postgres.connections import Connection

# Connections of a pool that has what it wants: as many as SQLAlchemy's own default allows.
WANTED = 15
# The fewest that a worker can be given: tests that wait for a lock need two.
LEAST = 2
# Connections of our own for each worker: one that restores, and one that makes its database anew.
OURS = 2

# Further ones of a worker whose tests ask for databases of their own: one that makes and drops them, and one that looks
# after them.
FRESH_OURS = 2
# Connections of the engine of such a database, where there are as many, and of those that wait for one.
FRESH_WANTED, FRESH_WAITING = 5, 3
# What a worker needs of them in all before its other engine may have more than it needs itself.
_FRESH_LEAST = FRESH_OURS + 3

# Who else is there is visible to everybody, what kind of process it is to few; processes of the server have no role.
_QUERY = """
    SELECT current_setting('max_connections')::int,
           CASE WHEN r.rolsuper THEN 0
                ELSE current_setting('superuser_reserved_connections')::int
                     + CASE WHEN {} THEN 0
                            ELSE coalesce(current_setting('reserved_connections', true), '0')::int END END,
           (SELECT count(*) FROM pg_stat_activity
            WHERE usesysid IS NOT NULL AND coalesce(backend_type, 'client backend') = 'client backend'),
           CASE WHEN r.rolsuper THEN -1 ELSE r.rolconnlimit END,
           (SELECT count(*) FROM pg_stat_activity WHERE usesysid = r.oid),
           CASE WHEN r.rolsuper THEN -1
                ELSE coalesce((SELECT datconnlimit FROM pg_database WHERE datname = %s), -1) END,
           r.rolname
    FROM pg_roles r WHERE r.rolname = current_user
"""
_MAY_USE_RESERVED = """
    coalesce((SELECT pg_has_role(r.oid, m.oid, 'USAGE') FROM pg_roles m
              WHERE m.rolname = 'pg_use_reserved_connections'), false)
"""
_ASK = sql.SQL(_QUERY).format(sql.SQL(_MAY_USE_RESERVED))


@dataclass(frozen=True, slots=True)
class Budget:
    """The connections of a server, at a moment.

    Attributes:
        maximum: `max_connections`.
        reserved: Those of them that our role cannot have.
        used: Those that clients have, the one that asked included.
        role: How many our role may have; -1 for any number.
        used_by_role: How many it has.
        database: How many may be connected to a database like the one that the user named; -1 for any number.
        role_name: The role.
        database_name: That database; empty where none was named.
    """

    maximum: int
    reserved: int
    used: int
    role: int = -1
    used_by_role: int = 0
    database: int = -1
    role_name: str = ""
    database_name: str = ""

    @property
    def free(self) -> int:
        """How many more our role can have."""
        free = self.maximum - self.reserved - self.used
        return free if self.role < 0 else min(free, self.role - self.used_by_role)

    def beside(self, workers: int, pool: int) -> int:
        """How many connections of its share each worker has beside the engine, which has `pool` of them."""
        return self.free // workers - OURS - pool

    def pool_beside_fresh(self, workers: int, wanted: int | None = None) -> int:
        """As `pool`, where tests of the worker ask for databases of their own, too: some are left to these.

        Raises:
            TooFewConnectionsError: There are not as many.
        """
        pool = self.pool(workers, wanted)
        if wanted is not None:
            return pool
        lacking = max(0, _FRESH_LEAST - self.beside(workers, pool))
        return max(LEAST, pool - lacking)

    def fresh(self, workers: int, pool: int) -> tuple[int, int]:
        """How many connections the engine of a test's own database may have, and how many may wait for such engines.

        Args:
            workers: How many workers there are.
            pool: How many the other engine has.

        Raises:
            TooFewConnectionsError: There is none for them.
        """
        each = self.beside(workers, pool) - FRESH_OURS
        if each < 1:
            least = pool + OURS + FRESH_OURS + 1
            needed, fewer = workers * least, self.free // least
            raise TooFewConnectionsError(
                f"{needed} connections: of each worker {FRESH_OURS + 1} for fresh_database, {pool} for other tests and "
                f"{OURS} to restore",
                f"{self.free} free",
                [
                    f"give the server or the role {needed - self.free} connections more",
                    *([f"or run fewer workers: pytest -n {fewer}"] if 0 < fewer < workers else []),
                    *([f"or have the others need fewer: --pristine-pool={LEAST}"] if pool > LEAST else []),
                ],
            )
        engine = min(FRESH_WANTED, each, self.database if self.database > 0 else each)
        return engine, min(FRESH_WAITING, each - engine)

    def pool(self, workers: int, wanted: int | None = None) -> int:
        """How many connections the engine of each worker may have at a time.

        Args:
            workers: How many workers there are.
            wanted: What the user asks for; None for what there is, up to `WANTED`.

        Raises:
            TooFewConnectionsError: There are not as many.
        """
        each = self.free // workers - OURS
        if self.database >= 0:
            each = min(each, self.database - OURS)
        least = LEAST if wanted is None else wanted
        if each < least:
            raise self._too_few(workers, least)
        return min(each, WANTED) if wanted is None else wanted

    def _too_few(self, workers: int, least: int) -> TooFewConnectionsError:
        needed = workers * (least + OURS)
        limit = f"max_connections {self.maximum} - {self.reserved} reserved - {self.used} used = "
        limit += f"{self.maximum - self.reserved - self.used} free"
        change = f"set max_connections of the server to {needed + self.reserved + self.used} or more, and restart it"
        if self.role >= 0 and self.free < self.maximum - self.reserved - self.used:
            limit = f"a limit of {self.role} for the role - {self.used_by_role} used = {self.free} free"
            statement = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(
                sql.Identifier(self.role_name), sql.Literal(needed + self.used_by_role)
            )
            change = f"as a superuser: {statement.as_string(None)}"
        if 0 <= self.database < least + OURS:
            limit = f"a limit of {self.database} for the database"
            statement = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}").format(
                sql.Identifier(self.database_name), sql.Literal(least + OURS)
            )
            change = f"as its owner: {statement.as_string(None)}"
        fewer = self.free // (least + OURS)
        most = self.free // workers - OURS
        most = most if self.database < 0 else min(most, self.database - OURS)
        who = f"{workers} worker{'' if workers == 1 else 's'}"
        return TooFewConnectionsError(
            f"{needed} connections: {who}, each with {least} for tests and {OURS} to restore",
            limit,
            [
                change,
                *([f"or run fewer workers: pytest -n {fewer}"] if 0 < fewer < workers else []),
                *([f"or have each need fewer: --pristine-pool={most}"] if 0 < most < least else []),
            ],
        )


def read(connection: Connection, like: str | None = None) -> Budget:
    """Ask a server.

    Args:
        connection: To any database of it.
        like: The database whose limit the copies have that workers work in; None for no limit.
    """
    row = connection.execute(_ASK, [like]).fetchone()
    if row is None:
        raise LookupError("the current role is not in pg_roles")
    maximum, reserved, used, limit, used_by_role, of_database = (int(str(number)) for number in row[:-1])
    return Budget(maximum, reserved, used, limit, used_by_role, of_database, str(row[-1]), like or "")
