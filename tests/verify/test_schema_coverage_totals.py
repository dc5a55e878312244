"""What several workers touched together, and the threshold."""

from __future__ import annotations

from pytest_pristine.verify.checklist import FAILED, PASSED, UNKNOWN
from pytest_pristine.verify.schema_coverage import totals

OBJECTS = [["table read", "users", ""], ["check", "positive", "users"], ["index", "by_name", "users"]]


def _found(*touched: int, objects: list[list[str]] = OBJECTS, untold: tuple[str, ...] = ()) -> dict[str, object]:
    return {"objects": objects, "touched": list(touched), "untold": list(untold)}


def test_what_any_worker_touched_counts() -> None:
    """Objects count once, and what one could not see is told once."""
    merged = totals.merge([_found(0, untold=("a",)), {}, _found(0, 2, untold=("a", "b"))])
    assert merged == _found(0, 2, untold=("a", "b"))
    assert totals.percent(merged) == 100 * 2 / 3


def test_another_schema_is_added() -> None:
    """A worker whose schema differs does not confuse the numbers of the others."""
    merged = totals.merge([_found(0), _found(0, 1, objects=[["table read", "other", ""], OBJECTS[2]])])
    assert merged["objects"] == [*OBJECTS, ["table read", "other", ""]]
    assert merged["touched"] == [0, 2, 3]


def test_the_objects_of_a_worker_are_not_changed_by_merging() -> None:
    """Its record is shown as it was sent."""
    first = _found(0, objects=[["table read", "users", ""]])
    totals.merge([first, _found(1)])
    assert first == _found(0, objects=[["table read", "users", ""]])


def test_nothing_is_nothing() -> None:
    """Workers that found nothing give nothing."""
    assert totals.merge([{}, {}]) == {}


def test_a_threshold_that_is_missed_fails_and_names_what_was_not_touched() -> None:
    """The item says how far it is, what was missed, and what to do."""
    item = totals.judge(_found(0), 50.0)
    assert item is not None
    assert (item.key, item.state, item.found) == ("schema", FAILED, "1 of 3 objects, 33.3 %")
    assert item.offenders == ("check positive of users", "index by_name of users")
    assert item.remedy


def test_a_threshold_that_is_met_passes() -> None:
    """Also exactly."""
    item = totals.judge(_found(0, 1, 2), 100.0)
    assert item is not None
    assert item.state == PASSED


def test_no_threshold_is_no_item_and_nothing_seen_is_no_claim() -> None:
    """A run without a database proves nothing about it."""
    assert totals.judge(_found(0), None) is None
    item = totals.judge({}, 50.0)
    assert item is not None
    assert item.state == UNKNOWN


def test_a_percentage_is_never_shown_as_more_than_it_is() -> None:
    """99.96 is not 100."""
    assert totals.shown(99.96) == "99.9 %"
    assert totals.shown(100.0) == "100 %"
