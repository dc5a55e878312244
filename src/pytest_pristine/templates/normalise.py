"""What is done to a migrated database before it becomes a template."""

from __future__ import annotations

from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine.postgres import connections

_CALLED = """
    SELECT n.nspname, c.relname, s.last_value
    FROM pg_sequence q JOIN pg_class c ON c.oid = q.seqrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_sequences s ON (s.schemaname, s.sequencename) = (n.nspname, c.relname)
    WHERE s.last_value IS NOT NULL AND c.relpersistence <> 't'
"""


def sequences(url: URL) -> None:
    """Set every sequence to where it stands.

    A sequence that was advanced has up to 32 values logged ahead and can move on without writing WAL. Set anew, it has
    none: its next call is seen.
    """
    with connections.connect(url, "template") as connection:
        for schema, name, value in connection.execute(_CALLED).fetchall():
            sequence = sql.Identifier(str(schema), str(name)).as_string(connection)
            connection.execute("SELECT setval(%s::regclass, %s)", [sequence, value])
