"""What a process records of its tests, and of itself. It is made of what JSON has, to be sent to another process."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Shape:
    """A statement, as often as one test ran it with whatever parameters.

    Attributes:
        sql: Its text.
        count: How often.
        seconds: All of them together.
        slowest: Seconds of the slowest.
        rows: Rows that it gave or changed in all; those that a driver does not tell of are left out.
    """

    sql: str
    count: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    rows: int = 0


@dataclass(slots=True)
class TestRecord:
    """What is known of one test in the end.

    Attributes:
        test: Its node id.
        worker: Name of the worker that ran it.
        began: When its setup began, in seconds since the epoch.
        ours: It used a fixture of ours.
        cleaned: It asked for `clean_database`.
        alone: It asked for a database of its own, and for none that it shares with others.
        wrote: Tables that were put back after it, each with the number of rows; None for all.
        others: What else was put back after it, in words.
        found: What was put back, or ended, before it: somebody else had left it.
        leftovers: What it left and should not have, in words.
        remade: Why the database was made anew after it; empty when it was not.
        escaped: What it committed past a session that is rolled back, in words.
        restore: Seconds that restores took, before it and after.
        restore_before: Of these, those before it.
        proof: Seconds that proofs took.
        proven: How many restores after it were proven; 0 or 1.
        differences: What a proof found, in words.
        blocked: What stood in the way of a restore after it; empty when nothing did.
        statements: How many statements it ran.
        sql: Seconds that these took.
        shapes: Its statements, those of one text together; only where a report is wanted.
        connections: Connections that it left open or in a transaction, in words.
        watched: It ran under the SQLite guard.
        sqlite: Where it opened SQLite, in words.
        foreign: Fixtures of ours that the project has replaced by something that is no Postgres, in words.
        covered: What of the schema it touched, by number; see `schema_coverage`.
        kept: The database that was kept because it failed; else empty.
    """

    __test__ = False  # for pytest, which would collect a class of this name

    test: str
    worker: str = ""
    began: float = 0.0
    ours: bool = False
    cleaned: bool = False
    alone: bool = False
    wrote: dict[str, int | None] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    remade: str = ""
    escaped: str = ""
    restore: float = 0.0
    restore_before: float = 0.0
    proof: float = 0.0
    proven: int = 0
    differences: list[str] = field(default_factory=list)
    blocked: str = ""
    statements: int = 0
    sql: float = 0.0
    shapes: list[Shape] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    watched: bool = False
    sqlite: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    covered: list[int] = field(default_factory=list)
    kept: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return asdict(self)

    def take_up(self, before: TestRecord) -> None:
        """Go on with what was found when the same test ran before: it is run again, or by several workers."""
        for name in ("found", "leftovers", "differences", "connections", "sqlite", "foreign"):
            known = getattr(before, name)
            setattr(self, name, [*known, *(each for each in getattr(self, name) if each not in known)])
        self.blocked, self.kept = self.blocked or before.blocked, self.kept or before.kept
        self.escaped = self.escaped or before.escaped

    @classmethod
    def read(cls, data: dict[str, Any]) -> TestRecord:
        """A record from what `as_dict` gave."""
        return cls(**{**data, "shapes": [Shape(**shape) for shape in data["shapes"]]})


@dataclass(slots=True)
class ProcessRecord:
    """What a process that ran tests says at its end.

    Attributes:
        worker: Its name.
        used: It made a database for its tests.
        ended: Its tests came to their end: the fixtures that used the database were torn down.
        start: Seconds until it had its server, if it found that itself.
        migrations: Seconds that a template took, if it made or found that itself.
        clone: Seconds that its copy took, the same.
        proof: Seconds of the last proof.
        tables: How many tables the last proof looked at; None when there was no last proof.
        differences: What the last proof found, each in words, with the test where it is known.
        connections: Connections that were left at the end, each in words, with the test where it is known.
        sqlite: Uses of SQLite that belong to no test of this process alone, in words.
        migrated: What is known of the migrations; see `migrations.evidence`.
        schema: What schema coverage found in all; empty without it.
        problems: What could not be looked at, in words: the evidence is not whole.
    """

    worker: str
    used: bool = False
    ended: bool = False
    start: float = 0.0
    migrations: float = 0.0
    clone: float = 0.0
    proof: float = 0.0
    tables: int | None = None
    differences: list[str] = field(default_factory=list)
    connections: list[str] = field(default_factory=list)
    sqlite: list[str] = field(default_factory=list)
    migrated: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, data: dict[str, Any]) -> ProcessRecord:
        """A record from what `as_dict` gave."""
        return cls(**data)
