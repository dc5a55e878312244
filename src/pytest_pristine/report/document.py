"""The report as data: what the JSON file holds, and what the page is drawn from. docs/report.md tells the same.

Times are in seconds. Tests name tables, statements and objects of the schema by their places in the lists of the
document, which keeps it small.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any

# Counts up whenever something that was there means something else, or is there no more.
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Server:
    """Where the tests ran.

    Attributes:
        version: "18.6".
        source: `url`, `up`, `embedded`, `local` or `docker`.
        described: For people: "PostgreSQL 18.6 (embedded)".
    """

    version: str
    source: str
    described: str


@dataclass(frozen=True, slots=True)
class CheckedItem:
    """An item of the checklist.

    Attributes:
        key: A word for programs: `postgres`, `migrations`, `coverage`, `pristine`, `sqlite`, `connections`, `skips`.
        title: What is claimed: "no SQLite connection".
        state: `passed`, `failed` or `unknown`.
        found: The evidence, in words.
        remedy: What to type or change, a line each.
        offenders: What or who made it fail, in full.
    """

    key: str
    title: str
    state: str
    found: str
    remedy: list[str] = field(default_factory=list)
    offenders: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Time:
    """Where the time went, summed over all processes but for `total`.

    Attributes:
        total: From the beginning of the session to its end, by the clock.
        start: Until there was a server.
        migrations: Making the template; 0 when an earlier run had.
        clone: Making databases from it.
        restore: Undoing tests.
        proof: Proving that they were undone.
        setup: Fixtures before tests, without what stands above.
        call: Bodies of tests.
        teardown: Fixtures after tests, without what stands above.
    """

    total: float
    start: float = 0.0
    migrations: float = 0.0
    clone: float = 0.0
    restore: float = 0.0
    proof: float = 0.0
    setup: float = 0.0
    call: float = 0.0
    teardown: float = 0.0


@dataclass(frozen=True, slots=True)
class Repeated:
    """A statement that one test ran often.

    Attributes:
        shape: Its place in `shapes`.
        count: How often.
        seconds: All of them together.
    """

    shape: int
    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Test:
    """A test.

    Attributes:
        id: Its node id.
        outcome: `passed`, `failed`, `error`, `skipped`, `xfailed` or `xpassed`.
        worker: Name of the worker: `main`, `gw0`.
        began: Seconds since the beginning of the session.
        setup: Seconds.
        call: Seconds.
        teardown: Seconds.
        restore: Seconds that its restores took, which are part of setup and teardown.
        statements: How many it ran.
        sql: Seconds that they took.
        wrote: Tables that it wrote to, by place, each with the number of rows that were put back; None for all.
        covered: Objects of the schema that it touched, by place in `schema.objects`.
        others: What else was put back, in words.
        left: What it should not have left, in words.
        remade: Why the database was made anew after it; empty when it was not.
        repeated: Statements that it ran suspiciously often (N+1).
        message: The first line of its failure, or the reason why it was skipped.
    """

    __test__ = False

    id: str
    outcome: str
    worker: str
    began: float
    setup: float
    call: float
    teardown: float
    restore: float = 0.0
    statements: int = 0
    sql: float = 0.0
    wrote: list[tuple[int, int | None]] = field(default_factory=list)
    covered: list[int] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    remade: str = ""
    repeated: list[Repeated] = field(default_factory=list)
    message: str = ""


@dataclass(frozen=True, slots=True)
class Shape:
    """A statement, over all tests; those that took longest are in the document.

    Attributes:
        sql: Its text.
        count: How often it was run.
        seconds: All of them together.
        slowest: Seconds of the slowest.
        slowest_test: Place of the test that ran the slowest.
        tests: How many tests ran it.
        rows: Rows that it gave or changed.
    """

    sql: str
    count: int
    seconds: float
    slowest: float
    slowest_test: int
    tests: int
    rows: int


@dataclass(frozen=True, slots=True)
class SchemaObject:
    """Something in the schema that tests can touch.

    Attributes:
        kind: `table written`, `table read`, `check`, `unique`, `foreign key`, `not null`, `exclude`, `index`,
            `function`, `trigger` or `enum value`.
        name: Its name: "orders_total_check", "order_status: shipped".
        table: The table that it belongs to; empty where there is none.
        covered: It was touched.
        tests: How many tests are known to have touched it. It may be 0 of one that was touched, by another process say.
    """

    kind: str
    name: str
    table: str
    covered: bool
    tests: int


@dataclass(frozen=True, slots=True)
class Schema:
    """Schema coverage.

    Attributes:
        percent: Of all objects, those that were touched.
        required: The percentage that was asked for; None when none was.
        objects: All of them.
        untold: What could not be looked at, in words.
    """

    percent: float
    required: float | None
    objects: list[SchemaObject]
    untold: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Leak:
    """Something left open or behind.

    Attributes:
        test: Node id; empty when it is not known.
        what: In words.
    """

    test: str
    what: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A database that was kept because its test failed.

    Attributes:
        test: Node id.
        database: Its name.
        command: What opens it.
    """

    test: str
    database: str
    command: str


@dataclass(frozen=True, slots=True)
class Document:
    """A report.

    Attributes:
        made: When, in UTC, as ISO 8601 has it.
        project: Name of the project.
        server: The server; None when the run came to none.
        workers: How many processes ran tests.
        checklist: What the run proves.
        time: Where the time went.
        tests: All tests, in the order in which they ended.
        tables: Tables that tests wrote to, and those of the schema where its coverage was measured.
        shapes: Statements.
        leaks: What was left.
        kept: Databases that were kept.
        schema: Schema coverage; None when it was not measured.
        format: Version of all this; it counts up when a field means something else, or is there no more.
    """

    made: str
    project: str
    server: Server | None
    workers: int
    checklist: list[CheckedItem]
    time: Time
    tests: list[Test]
    tables: list[str]
    shapes: list[Shape]
    leaks: list[Leak]
    kept: list[Kept]
    schema: Schema | None = None
    format: int = FORMAT

    def as_dict(self) -> dict[str, Any]:
        """The document as JSON has it."""
        return asdict(self)

    def as_json(self) -> str:
        """The document as text: what report.json holds. It is ASCII, without a line break.

        The encoder asks for the fields of each part when it comes to it: `asdict` takes several times as long.
        """
        return json.dumps(self, default=_fields_of, separators=(",", ":"))


def _fields_of(part: Any) -> dict[str, Any]:  # noqa: ANN401 - one of the classes above
    return {each.name: getattr(part, each.name) for each in fields(part)}
