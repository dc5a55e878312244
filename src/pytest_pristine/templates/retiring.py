"""Retiring templates and layers: those that nobody has needed for long, and layers whose ground is gone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

from pytest_pristine.postgres import databases, locks, marks
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.databases import Database

# Templates of one project that are kept: the branches a person switches between.
KEPT = 8
# Layers of one project that are kept, on whichever templates: they do not count among these.
KEPT_LAYERS = 24

_SEALED = (marks.TEMPLATE, marks.LAYER)
_COPIES = (marks.CLONE, marks.TARGET)


def retire(connection: Connection, project: str) -> None:
    """Drop the templates of a project that were not used for longest, beyond the number kept, and so its layers.

    One whose copies are there stays: the run that has them may need it. What a layer stands on stays as long as the
    layer does, and goes with all that stands on it.
    """
    known = [each for each in databases.ours(connection) if each.mark.project == project]
    used = _in_use(known)
    for kind, number in ((marks.TEMPLATE, KEPT), (marks.LAYER, KEPT_LAYERS)):
        idle = [each for each in known if each.mark.kind == kind and each.oid not in used]
        latest_first = sorted(idle, key=lambda each: each.mark.used, reverse=True)
        kept = _with_grounds(known, latest_first[:number])
        for database in latest_first[number:]:
            if database.oid not in kept:
                drop_if_free(connection, database)
    for database in orphans(connection):
        if database.mark.project == project:
            drop_if_free(connection, database)


def orphans(connection: Connection) -> Iterator[Database]:
    """Layers whose ground is gone, those that stand on such layers among them: no run will find them again.

    Those that a run still works on are left out.
    """
    known = list(databases.ours(connection))
    there, used = {str(each.oid) for each in known}, _in_use(known)
    for layer in sorted((each for each in known if each.mark.kind == marks.LAYER), key=lambda each: each.oid):
        # What stands on a layer is younger, and comes after it.
        if layer.mark.below not in there:
            there.discard(str(layer.oid))
            if layer.oid not in used:
                yield layer


def drop_if_free(connection: Connection, template: Database) -> bool:
    """Drop a template or layer that nobody builds or copies at this moment; gives whether it was dropped."""
    with locks.held_if_free(connection, locks.build(template.mark.fingerprint)) as free:
        current = databases.find(connection, template.name) if free else None
        # Another session may have built it anew, or used it since it was listed.
        if current is None or (current.oid, current.mark) != (template.oid, template.mark):
            return False
        with contextlib.suppress(LookupError):  # somebody else was faster
            databases.drop(connection, template.name)
    return True


def _in_use(known: Iterable[Database]) -> set[int]:
    """Oids of the templates and layers of which there are copies, and of all that these stand on."""
    copied = {
        fingerprint
        for each in known
        if each.mark.kind in _COPIES
        for fingerprint in (each.mark.fingerprint, each.mark.layer)
        if fingerprint
    }
    return _with_grounds(
        known, [each for each in known if each.mark.kind in _SEALED and each.mark.fingerprint in copied]
    )


def _with_grounds(known: Iterable[Database], chosen: Iterable[Database]) -> set[int]:
    """Oids of templates and layers, and of all that they stand on."""
    sealed = {str(each.oid): each for each in known if each.mark.kind in _SEALED}
    pending, found = list(chosen), set[int]()
    while pending:
        database = pending.pop()
        found.add(database.oid)
        if (below := sealed.get(database.mark.below)) is not None:
            pending.append(below)
    return found
