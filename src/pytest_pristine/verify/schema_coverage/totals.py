"""What all processes together touched, and whether that is enough."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pytest_pristine.verify.checklist import FAILED, PASSED, UNKNOWN, Item

KEY = "schema"
# Those are not observed: each is another database, and gone after its test.
FRESH = "what was done in fresh databases"
_WHOLE = 100.0


def merge(found: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What several processes found, as one. Processes that found nothing have an empty dictionary.

    The schema is the same in each, since all of them work in copies of one template. Should one differ all the same,
    its objects come after those of the first.
    """
    objects: list[list[str]] = []
    touched: set[int] = set()
    untold: dict[str, None] = {}
    for each in found:
        if not each:
            continue
        places = _places(objects, [list(known) for known in each["objects"]])
        touched.update(places[number] for number in each["touched"])
        untold.update(dict.fromkeys(each["untold"]))
    return {"objects": objects, "touched": sorted(touched), "untold": list(untold)} if objects or untold else {}


def _places(objects: list[list[str]], more: Sequence[list[str]]) -> Sequence[int]:
    """Where these objects are among those, which they join."""
    if not objects:
        objects.extend(more)
    if objects == more:
        return range(len(objects))
    known = {tuple(each): place for place, each in enumerate(objects)}
    places = []
    for each in more:
        if tuple(each) not in known:
            known[tuple(each)] = len(objects)
            objects.append(each)
        places.append(known[tuple(each)])
    return places


def percent(found: Mapping[str, Any]) -> float:
    """How many of a hundred objects were touched. Of a schema without any there is nothing to miss."""
    number = len(found.get("objects", ()))
    return _WHOLE * len(found["touched"]) / number if number else _WHOLE


def told(found: Mapping[str, Any]) -> str:
    """What was touched, for people: "41 of 120 objects, 34.1 %"."""
    unseen = f"; not seen: {FRESH}" if FRESH in found["untold"] else ""
    return f"{len(found['touched'])} of {len(found['objects'])} objects, {shown(percent(found))}{unseen}"


def judge(found: Mapping[str, Any], required: float | None) -> Item | None:
    """The item of the checklist; None where no threshold was set.

    Args:
        found: What `merge` gave.
        required: The percentage that was asked for.
    """
    if required is None:
        return None
    title = f"the tests touch {required:g} % of the schema"
    if not found:
        return Item(KEY, title, UNKNOWN, "the schema was not looked at: no test used the database")
    reached = percent(found)
    if reached >= required:
        return Item(KEY, title, PASSED, told(found))
    touched = set(found["touched"])
    missed = [
        " ".join(filter(None, (kind, name, f"of {table}" if table else "")))
        for number, (kind, name, table) in enumerate(found["objects"])
        if number not in touched
    ]
    remedy = ("test what was not touched", "or ask for less: --pristine-schema-cov-fail-under")
    return Item(KEY, title, FAILED, told(found), remedy, tuple(missed))


def shown(percentage: float) -> str:
    """A percentage for people, never more than it is: 99.96 is not 100."""
    return f"{int(percentage * 10) / 10:g} %"
