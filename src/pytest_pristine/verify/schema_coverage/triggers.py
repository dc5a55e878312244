"""Which triggers ran. The server counts calls of functions, not of triggers."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_pristine.verify.schema_coverage.counters import Moved
from pytest_pristine.verify.schema_coverage.objects import Schema, Trigger


def ran(schema: Schema, moved: Moved) -> Iterator[int]:
    """Numbers of the triggers that surely ran.

    A function of one trigger tells by itself: nothing else can call it. One that serves several tells by its number of
    calls, if each of them fires once for each row: when these are as many as the rows that were written to their
    tables, every trigger ran whose table was written. In any other case none is known to have run.
    """
    served: dict[int, list[Trigger]] = {}
    for trigger in schema.triggers:
        served.setdefault(trigger.function, []).append(trigger)
    for function, calls in moved.called.items():
        triggers = served.get(function, [])
        if len(triggers) == 1:
            yield triggers[0].number
        elif triggers and all(trigger.counts for trigger in triggers):
            expected = {trigger: _rows(schema, moved, trigger) for trigger in triggers}
            if sum(expected.values()) == calls:
                yield from (trigger.number for trigger, rows in expected.items() if rows)


def _rows(schema: Schema, moved: Moved, trigger: Trigger) -> int:
    """How many rows were written that the trigger fires for."""
    return sum(
        number
        for event in trigger.events
        for oid, number in moved.by[event].items()
        if trigger.relation in (oid, schema.roots.get(oid))
    )
