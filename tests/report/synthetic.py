"""Documents of runs that never were: of any size, always the same, for the tests of the page and for its benchmark."""

from __future__ import annotations

import functools
import random
from dataclasses import dataclass, field

from pytest_pristine.report.document import (
    CheckedItem,
    Document,
    Kept,
    Leak,
    Repeated,
    Schema,
    SchemaObject,
    Server,
    Shape,
    Test,
    Time,
)

_AREAS = ("billing", "orders", "users", "stock", "search", "mail", "audit", "reports", "api", "jobs")
_NOUNS = ("item", "line", "event", "note", "tag", "rule", "price", "batch", "link", "state")
_DOES = ("is_created", "is_refused_twice", "keeps_its_total", "sends_a_mail", "can_be_undone", "survives_a_retry")
# Tables that tests of all areas write to.
_HUBS = ("users", "accounts", "audit_log")
_FILE = 20
_HUB_SHARE = 0.35


@dataclass(frozen=True)
class Size:
    """How large a run.

    Attributes:
        tests: How many tests.
        tables: How many tables, the hubs included.
        failed: How many tests failed; with any, items of the checklist do too.
        workers: How many workers; with 1, it is `main`.
        schema: Schema coverage was measured.
    """

    tests: int = 40
    tables: int = 12
    failed: int = 0
    workers: int = 1
    schema: bool = True


@dataclass
class _Run:
    """A run that is being made up."""

    size: Size
    dice: random.Random
    tables: list[str]
    shapes: list[str]
    objects: list[SchemaObject]
    clock: dict[str, float] = field(default_factory=dict)


@functools.cache
def document(size: Size) -> Document:
    """The document of a run of this size."""
    tables = _tables(size.tables)
    run = _Run(
        size,
        random.Random(7),  # noqa: S311 - the same at each call is what is wanted
        tables,
        _statements(tables),
        _objects(tables) if size.schema else [],
    )
    tests = [_test(run, number) for number in range(size.tests)]
    return Document(
        made="2026-03-14T09:26:53+00:00",
        project="shop",
        server=Server("18.6", "embedded", "PostgreSQL 18.6 (embedded)"),
        workers=size.workers,
        checklist=_checklist(size),
        time=_time(tests, run),
        tests=tests,
        tables=tables,
        shapes=_shapes(run),
        leaks=[Leak(test.id, left) for test in tests for left in test.left],
        kept=[
            Kept(test.id, f"pristine_kept_{number}", f"psql postgresql://tester@127.0.0.1:5433/pristine_kept_{number}")
            for number, test in enumerate([test for test in tests if test.outcome == "failed"][:5])
        ],
        schema=_schema(run) if size.schema else None,
    )


def _tables(count: int) -> list[str]:
    made = [f"{_AREAS[n % 10]}_{_NOUNS[n // 10 % 10]}s{n // 100 or ''}" for n in range(max(count - len(_HUBS), 0))]
    return [*_HUBS, *made][:count]


def _statements(tables: list[str]) -> list[str]:
    made = []
    for table in tables[:60]:
        made += [
            f"INSERT INTO {table} (name, created_at, payload) VALUES (%s, %s, %s) RETURNING {table}.id",
            f"SELECT {table}.id, {table}.name, {table}.payload\nFROM {table}\nWHERE {table}.id = %s",
            f"UPDATE {table} SET payload=%s WHERE {table}.id = %s",
        ]
    return made


def _objects(tables: list[str]) -> list[SchemaObject]:
    """The schema's objects; every seventh table has never been touched."""
    made = []
    for number, table in enumerate(tables):
        touched = number % 7 != 6
        made += [
            SchemaObject("table written", table, table, touched, 3 * touched),
            SchemaObject("table read", table, table, touched or number % 2 == 0, 5 * touched),
            SchemaObject("check", f"{table}_total_check", table, touched and number % 3 == 0, int(touched)),
            SchemaObject("unique", f"{table}_name_key", table, touched and number % 4 == 0, int(touched)),
            SchemaObject("foreign key", f"{table}_owner_fkey", table, touched and number % 5 != 0, int(touched)),
            SchemaObject("not null", f"{table}.name", table, touched and number % 2 == 0, int(touched)),
            SchemaObject("index", f"{table}_created_idx", table, touched, 2 * touched),
            SchemaObject("trigger", f"{table}_audit", table, touched, 2 * touched),
        ]
    states = ("new", "paid", "shipped", "refunded")
    made += [SchemaObject("enum value", f"order_status: {state}", "", state != "refunded", 1) for state in states]
    return [*made, SchemaObject("function", "audit()", "", covered=True, tests=4)]


def _test(run: _Run, number: int) -> Test:
    dice, size = run.dice, run.size
    area, noun = _AREAS[number // _FILE % len(_AREAS)], _NOUNS[number // _FILE // len(_AREAS) % len(_NOUNS)]
    # A stride, so that failures lie all over the run.
    failed = size.failed > 0 and number % max(size.tests // size.failed, 1) == 0
    outcome = "failed" if failed else ("skipped" if number % 41 == 40 else "passed")
    worker = f"gw{number % size.workers}" if size.workers > 1 else "main"
    began = run.clock.get(worker, 1.4)
    setup, call, teardown = dice.expovariate(400), dice.expovariate(30), dice.expovariate(300)
    if outcome == "skipped":
        setup, call, teardown = 0.0001, 0.0, 0.0001
    run.clock[worker] = began + setup + call + teardown + 0.0008
    own = [place for place, table in enumerate(run.tables) if table.startswith(f"{area}_")]
    wrote = {place for place in range(min(3, size.tables)) if dice.random() < _HUB_SHARE}
    wrote |= set(dice.sample(own, min(len(own), dice.randrange(4))))
    if outcome == "skipped":
        wrote = set()
    often = [Repeated(dice.randrange(len(run.shapes)), dice.randrange(12, 400), 0.03)] if number % 23 == 5 else []
    return Test(
        id=f"tests/{area}/test_{noun}s_{number // _FILE}.py::test_{area}_{noun}_{_DOES[number % 6]}[{number % _FILE}]",
        outcome=outcome,
        worker=worker,
        began=round(began, 6),
        setup=round(setup, 6),
        call=round(call, 6),
        teardown=round(teardown, 6),
        restore=0.0008 if wrote else 0.0,
        statements=3 * len(wrote) + sum(each.count for each in often),
        sql=round(call / 3, 6),
        wrote=[(place, None if dice.random() < 0.01 else dice.randrange(1, 40)) for place in sorted(wrote)],
        covered=[place for place in range(0, len(run.objects), 40) if run.objects[place].covered],
        others=["sequence users_id_seq"] if 0 in wrote else [],
        left=["a connection that was idle in a transaction"] if failed and number % 2 == 0 else [],
        remade="it created the table scratch" if failed and number % 3 == 0 else "",
        repeated=often,
        message={"failed": "AssertionError: assert 3 == 4", "skipped": "needs the mail server"}.get(outcome, ""),
    )


def _shapes(run: _Run) -> list[Shape]:
    made = []
    for sql in run.shapes:
        count, mean = run.dice.randrange(5, 900), run.dice.expovariate(2500)
        slowest = mean * run.dice.uniform(2, 30)
        made.append(
            Shape(
                sql,
                count,
                round(count * mean, 6),
                round(slowest, 6),
                run.dice.randrange(run.size.tests),
                min(count, run.size.tests),
                3 * count,
            )
        )
    return sorted(made, key=lambda shape: -shape.seconds)


def _time(tests: list[Test], run: _Run) -> Time:
    return Time(
        total=round(max(run.clock.values(), default=1.4) + 0.3, 6),
        start=0.62,
        migrations=0.74,
        clone=0.021 * run.size.workers,
        restore=round(sum(test.restore for test in tests), 6),
        proof=0.19,
        setup=round(sum(test.setup for test in tests), 6),
        call=round(sum(test.call for test in tests), 6),
        teardown=round(sum(test.teardown for test in tests), 6),
    )


def _schema(run: _Run) -> Schema:
    covered = sum(each.covered for each in run.objects)
    return Schema(
        percent=round(100 * covered / max(len(run.objects), 1), 1),
        required=None,
        objects=run.objects,
        untold=["functions in other languages than SQL and PL/pgSQL"],
    )


def _checklist(size: Size) -> list[CheckedItem]:
    passed = [
        CheckedItem("postgres", "a real Postgres", "passed", "PostgreSQL 18.6 (embedded)"),
        CheckedItem("migrations", "the schema comes from the migrations", "passed", "14 revisions, at head"),
        CheckedItem("connections", "no connection was left open", "passed", "0 left at the end"),
        CheckedItem("skips", "no test was skipped for want of a database", "unknown", "no test asked for one"),
    ]
    if not size.failed:
        return [
            *passed,
            CheckedItem("pristine", "every database was left clean", "passed", f"proven {size.tests} times"),
            CheckedItem("sqlite", "no SQLite connection", "passed", "none was opened"),
        ]
    return [
        *passed,
        CheckedItem(
            "pristine",
            "every database was left clean",
            "failed",
            "2 tables differ from the template after the last restore",
            ["pytest --pristine-check=each names the test", "see docs/restoring.md"],
            [f"tests/orders/test_lines_1.py::test_total[{n}] left orders {n} rows" for n in range(1, 15)],
        ),
        CheckedItem(
            "sqlite",
            "no SQLite connection",
            "failed",
            "1 connection to SQLite was opened",
            ["use postgres_engine instead of create_engine('sqlite://')"],
            ["tests/users/test_items_2.py::test_login opened sqlite:///:memory:"],
        ),
    ]
