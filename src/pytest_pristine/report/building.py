"""Making the document of what was collected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import URL

from pytest_pristine import clock
from pytest_pristine.postgres import urls
from pytest_pristine.report.collected import Collected, Judged, Outcome
from pytest_pristine.report.document import (
    CheckedItem,
    Document,
    Kept,
    Leak,
    Repeated,
    Schema,
    SchemaObject,
    Shape,
    Test,
    Time,
)  # fmt: skip
from pytest_pristine.templates.spent import Spent
from pytest_pristine.verify import records
from pytest_pristine.verify.records import ProcessRecord, TestRecord
from pytest_pristine.verify.schema_coverage import totals

# How often a test runs a statement until that is suspicious.
_OFTEN = 10
# Statements that a report has.
_SHAPES = 200


def build(collected: Collected, judged: Judged) -> Document:
    """The document."""
    tests, known = list(collected.outcomes.values()), collected.records
    tables = _Places(judged.tables)
    shapes = _sum_up(tests, known)
    places = {shape.sql: place for place, shape in enumerate(shapes)}
    return Document(
        made=clock.utc().isoformat(timespec="seconds"),
        project=judged.project,
        server=judged.server,
        workers=len({test.worker for test in tests if test.worker}) or 1,
        checklist=[
            CheckedItem(each.key, each.title, each.state, each.found, list(each.remedy), list(each.offenders))
            for each in judged.items
        ],
        time=_time(collected, judged.spent),
        tests=[_test(test, known.get(test.test), collected.began, tables, places) for test in tests],
        tables=tables.names,
        shapes=shapes,
        leaks=[*_leaks(known.values(), collected.processes)],
        kept=list(judged.kept),
        schema=judged.schema,
    )


def schema(found: Mapping[str, Any], collected: Collected, required: float | None) -> Schema | None:
    """Schema coverage; None where it was not measured.

    Args:
        found: What all processes found; see `verify.schema_coverage.totals`.
        collected: What single tests touched.
        required: The percentage that was asked for.
    """
    if not found:
        return None
    touched = set(found["touched"])
    tests = Counter(number for record in collected.records.values() for number in record.covered)
    objects = [
        SchemaObject(kind, name, table, number in touched, tests[number])
        for number, (kind, name, table) in enumerate(found["objects"])
    ]
    # Never more than it is: 99.96 is not 100.
    return Schema(int(totals.percent(found) * 10) / 10, required, objects, list(found["untold"]))


def kept_of(tests: Iterable[TestRecord], named: URL | None) -> list[Kept]:
    """The databases that were kept, each with what opens it.

    Args:
        tests: What was recorded of tests.
        named: The server, where the user named it; None for one of ours, which `pristine psql` finds.
    """
    names = [(test.test, test.kept) for test in tests if test.kept]
    return [Kept(test, name, _opening(name, named, is_last=name == names[-1][1])) for test, name in names]


def _opening(name: str, named: URL | None, *, is_last: bool) -> str:
    if named is not None:
        # Without its password, for which psql asks.
        return f'psql "{urls.show(named.set(database=name, password=None))}"'
    return "pristine psql --last-failed" if is_last else f"pristine psql {name}"


class _Places:
    """Names, each of which has a place."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(names)
        self._known = {name: place for place, name in enumerate(self.names)}

    def __getitem__(self, name: str) -> int:
        if name not in self._known:
            self._known[name] = len(self.names)
            self.names.append(name)
        return self._known[name]


def _time(collected: Collected, spent: Spent | None) -> Time:
    everyone = [*collected.processes, *([] if spent is None else [spent])]
    tests, known = collected.outcomes.values(), collected.records.values()
    start, migrations, clone = (
        sum(getattr(process, name) for process in everyone) for name in ("start", "migrations", "clone")
    )
    restore = sum(record.restore for record in known)
    proof = sum(record.proof for record in known) + sum(process.proof for process in collected.processes)
    # Fixtures made databases, unless another process did.
    fixtures = sum(process.migrations + process.clone for process in collected.processes)
    before = sum(record.restore_before for record in known)
    return Time(
        total=clock.utc().timestamp() - collected.began,
        start=start,
        migrations=migrations,
        clone=clone,
        restore=restore,
        proof=proof,
        setup=max(sum(test.setup for test in tests) - before - fixtures, 0),
        call=sum(test.call for test in tests),
        teardown=max(sum(test.teardown for test in tests) - (restore - before) - proof, 0),
    )


def _test(
    outcome: Outcome, record: TestRecord | None, began: float, tables: _Places, shapes: dict[str, int]
) -> Test:  # fmt: skip
    plain = Test(
        outcome.test, outcome.outcome, outcome.worker, max(outcome.began - began, 0), outcome.setup, outcome.call,
        outcome.teardown, message=outcome.message,
    )  # fmt: skip
    if record is None:
        return plain
    often = [shape for shape in record.shapes if shape.count >= _OFTEN and shape.sql in shapes]
    return Test(
        plain.id, plain.outcome, plain.worker, plain.began, plain.setup, plain.call, plain.teardown,
        restore=record.restore,
        statements=record.statements,
        sql=record.sql,
        wrote=[(tables[name], rows) for name, rows in record.wrote.items()],
        covered=record.covered,
        others=record.others,
        left=[*record.connections, *record.leftovers, *record.differences, *filter(None, [record.blocked])],
        remade=record.remade,
        repeated=[Repeated(shapes[shape.sql], shape.count, shape.seconds) for shape in often],
        message=plain.message,
    )  # fmt: skip


def _sum_up(tests: Sequence[Outcome], known: dict[str, TestRecord]) -> list[Shape]:
    """The statements over all tests that took longest, and all that some test repeated."""
    summed: dict[str, tuple[records.Shape, int, int]] = {}
    often = set()
    for place, test in enumerate(tests):
        for shape in known[test.test].shapes if test.test in known else ():
            so_far, slowest, ran = summed.get(shape.sql, (records.Shape(shape.sql), place, 0))
            if shape.slowest > so_far.slowest:
                slowest = place
            so_far.count += shape.count
            so_far.seconds += shape.seconds
            so_far.rows += shape.rows
            so_far.slowest = max(so_far.slowest, shape.slowest)
            summed[shape.sql] = so_far, slowest, ran + 1
            if shape.count >= _OFTEN:
                often.add(shape.sql)
    longest = sorted(summed.values(), key=lambda each: -each[0].seconds)
    chosen = [each for number, each in enumerate(longest) if number < _SHAPES or each[0].sql in often]
    return [
        Shape(shape.sql, shape.count, shape.seconds, shape.slowest, slowest, ran, shape.rows)
        for shape, slowest, ran in chosen
    ]


def _leaks(tests: Iterable[TestRecord], processes: Iterable[ProcessRecord]) -> Iterable[Leak]:
    for test in tests:
        for what in (*test.connections, *test.leftovers, *test.differences, *filter(None, [test.blocked])):
            yield Leak(test.test, what)
        yield from (Leak("", what) for what in test.found)
    for process in processes:
        yield from (Leak("", what) for what in (*process.connections, *process.differences))
