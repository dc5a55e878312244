"""What a database has beside its contents: an owner, settings and grants. CREATE DATABASE ... TEMPLATE copies none."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass

from psycopg import errors, sql

from pytest_pristine.postgres import grants
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.grants import Grant

_log = logging.getLogger("pytest_pristine")


@dataclass(frozen=True, slots=True)
class Properties:
    """What a database had at a moment, as far as our role may give it.

    Attributes:
        owner: Its owner; None when ours is no superuser's role, and ownership not ours to give.
        settings: Values as Postgres stores them, by role and name. The role is None for ALTER DATABASE ... SET, and
            else that of ALTER ROLE ... IN DATABASE ... SET: any for a superuser, only itself for another role.
        grants: Who may do what with it.
        limit: How many sessions there can be at a time; -1 for any number.
    """

    owner: str | None
    settings: Mapping[tuple[str | None, str], str]
    grants: frozenset[Grant]
    limit: int = -1


_IS_SUPERUSER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"

_SETTINGS = """
    SELECT CASE s.setrole WHEN 0 THEN NULL ELSE pg_get_userbyid(s.setrole) END, split_part(c, '=', 1),
           substr(c, strpos(c, '=') + 1)
    FROM pg_db_role_setting s, unnest(s.setconfig) c
    WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = %s)
      AND (s.setrole = 0 OR pg_get_userbyid(s.setrole) = current_user
           OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))
"""

# Settings whose stored value is a list, quoted as it would be typed (GUC_LIST_QUOTE in the server's source).
_LISTS = frozenset({"search_path", "temp_tablespaces", "session_preload_libraries", "local_preload_libraries"})

# A name in such a list: quoted, with quotes doubled, or bare.
_NAME = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,"\s]+))\s*(?:,|$)')


def _names(value: str) -> list[str]:
    """The names in a stored list such as `"$user", public`."""
    return [bare or quoted.replace('""', '"') for quoted, bare in _NAME.findall(value)]


def read(connection: Connection, name: str) -> Properties:
    """The properties of a database.

    Args:
        connection: To any database of the server.
        name: The database.
    """
    superuser = connection.execute(_IS_SUPERUSER).fetchone() == (True,)
    return Properties(
        grants.owner(connection, grants.DATABASE, name) if superuser else None,
        _settings(connection, name),
        grants.read(connection, grants.DATABASE, name),
        _limit(connection, name),
    )


def apply(connection: Connection, name: str, wanted: Properties) -> None:
    """Give a database these properties and take away what it has beside them. What it has already is not touched.

    What our role may not change is left as it is, and logged.
    """
    if wanted.owner is not None and wanted.owner != grants.owner(connection, grants.DATABASE, name):
        statement = sql.SQL("ALTER DATABASE {} OWNER TO {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Identifier(wanted.owner)))
    _apply_settings(connection, name, wanted.settings)
    if wanted.limit != _limit(connection, name):
        statement = sql.SQL("ALTER DATABASE {} CONNECTION LIMIT {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Literal(wanted.limit)))
    grants.apply(connection, grants.DATABASE, name, wanted.grants)


def _limit(connection: Connection, name: str) -> int:
    row = connection.execute("SELECT datconnlimit FROM pg_database WHERE datname = %s", [name]).fetchone()
    return -1 if row is None else int(str(row[0]))


def _settings(connection: Connection, name: str) -> dict[tuple[str | None, str], str]:
    rows = connection.execute(_SETTINGS, [name]).fetchall()
    return {(None if role is None else str(role), str(setting)): str(value) for role, setting, value in rows}


def _apply_settings(connection: Connection, name: str, wanted: Mapping[tuple[str | None, str], str]) -> None:
    found = _settings(connection, name)
    changes: dict[tuple[str | None, str], str | None] = {key: None for key in found if key not in wanted}
    changes |= {key: value for key, value in wanted.items() if found.get(key) != value}
    for (role, setting), value in changes.items():
        try:
            connection.execute(_alter(name, role, setting, value))
        except errors.InsufficientPrivilege:
            # A superuser set it; the database that we make beside does without.
            _log.warning("the setting %s of %s is not ours to change", setting, name)


def _alter(name: str, role: str | None, setting: str, value: str | None) -> sql.Composed:
    """The statement that sets a setting of a database, or resets it when there is no value."""
    database = sql.Identifier(name)
    subject = (
        sql.SQL("DATABASE {}").format(database)
        if role is None
        else sql.SQL("ROLE {} IN DATABASE {}").format(sql.Identifier(role), database)
    )
    if value is None:
        return sql.SQL("ALTER {} RESET {}").format(subject, sql.Identifier(setting))
    names = _names(value) if setting in _LISTS else [value]
    typed = sql.SQL(", ").join(map(sql.Literal, names))
    return sql.SQL("ALTER {} SET {} TO {}").format(subject, sql.Identifier(setting), typed)
