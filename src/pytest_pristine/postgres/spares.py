"""Spare copies of templates, made while nobody waits, so that the next run need not.

A copy takes some hundred files, which is the longest step of a warm start. Nobody can connect to a spare: it is what
its template is until a run takes it.
"""

from __future__ import annotations

from collections import Counter

from pytest_pristine.postgres import databases, locks, marks, names
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database
from pytest_pristine.postgres.marks import Mark

# Templates that have spares: those of the projects that a person works on at a time.
_TEMPLATES = 2
# Spares of one template: as many as its last run had workers, up to this number.
_MOST = 8


def prepare(connection: Connection) -> bool:
    """Have spares of each template that was used last, and none of any other.

    Args:
        connection: To the server's maintenance database.

    Returns:
        Whether any was lacking. It takes a while to make one, in which a run may have taken another.
    """
    known = list(databases.ours(connection))
    templates = [database for database in known if database.sealed and database.mark.kind == marks.TEMPLATE]
    latest = sorted(templates, key=lambda template: template.mark.used)[-_TEMPLATES:]
    wanted = Counter({str(template.oid): min(template.mark.copies, _MOST) for template in latest})
    for spare in known:
        if spare.mark.kind != marks.SPARE:
            continue
        if wanted[spare.mark.fingerprint] > 0:
            wanted[spare.mark.fingerprint] -= 1
            continue
        with locks.held(connection, locks.spare(spare.name)):
            _drop_if_spare(connection, spare.name)
    lacking = [template for template in latest for _ in range(wanted[str(template.oid)])]
    for template in lacking:
        _make(connection, template)
    return bool(lacking)


def take(connection: Connection, template: Database, name: str, mark: Mark) -> bool:
    """Turn a spare of the template into a database with this name and mark.

    Returns:
        Whether there was one.
    """
    for spare in databases.ours(connection):
        # A template that was built anew may have the name of the one before.
        if (spare.mark.kind, spare.mark.fingerprint) != (marks.SPARE, str(template.oid)):
            continue
        with locks.held_if_free(connection, locks.spare(spare.name)) as free:
            if not free or databases.find(connection, spare.name) is None:
                continue
            with connection.transaction():
                databases.rename(connection, spare.name, name)
                databases.set_mark(connection, name, mark)
                databases.allow_connections(connection, name, allow=True)
            return True
    return False


def _make(connection: Connection, template: Database) -> None:
    """Make a spare; whoever looks for one meanwhile does not find it, and makes a copy of its own."""
    name = names.scratch()
    mark = Mark(marks.SPARE, "", template.mark.project, str(template.oid))
    with (
        locks.held(connection, locks.spare(name)),
        locks.held_if_free(connection, locks.build(template.mark.fingerprint)) as free,
    ):
        # The template may have been dropped or replaced since it was listed, or is being replaced now.
        current = databases.find(connection, template.name)
        if free and current is not None and current.oid == template.oid:
            databases.create(connection, name, mark, template=template.name)
            databases.allow_connections(connection, name, allow=False)


def _drop_if_spare(connection: Connection, name: str) -> None:
    """Drop a spare unless a run has taken it meanwhile."""
    database = databases.find(connection, name)
    if database is not None and database.mark.kind == marks.SPARE:
        databases.drop(connection, name)
