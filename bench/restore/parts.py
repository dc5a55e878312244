"""The parts of the benchmark: each takes a world and gives figures."""

from __future__ import annotations

import gc
import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import figures
import psutil
import schema
import ways
from figures import Case, Figure
from measuring import Contender, Effort, in_turns, summarise
from schema import Work
from servers import OWNER, Server, World, connect
from ways import Way

SMALL, BULK = "small", "bulk"
# The most tables at which a way that touches all of them is measured for every kind of test.
_MODERATE = 500
# The most tables at which a way that cascades through the chain is measured: at 5000 it takes 27 s for one test. To
# truncate that many at once takes more locks than a server has room for.
_FAR = 1000
_THREE = 3
_CASCADING = "pytest-clean-database"
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        tables: Sizes of the schema.
        dirty: Numbers of dirty tables.
        bulk_tables: Sizes at which all ways are compared after bulk writes, each of which takes most of a second.
        pair_tables: Sizes at which a restore is compared with one TRUNCATE after bulk writes.
        small: Effort for tests that write a few rows.
        bulk: Effort for tests that write a hundred thousand.
        pairs: Repetitions of a test that writes a hundred thousand rows, beside a TRUNCATE.
        restores: Restores of a long session.
        window: Those at its beginning and at its end that are compared.
        roles: `superuser`, `owner`.
    """

    tables: Sequence[int]
    dirty: Sequence[int]
    bulk_tables: Sequence[int]
    pair_tables: Sequence[int]
    small: Effort
    bulk: Effort
    pairs: int
    restores: int
    window: int
    roles: Sequence[str]

    def some(self, *wanted: int) -> list[int]:
        """Those of the sizes that are measured at all."""
        return [tables for tables in wanted if tables in self.tables]


@dataclass(frozen=True, slots=True)
class Bench:
    """A server with the templates that its parts share.

    Attributes:
        server: The server.
        plan: How much is measured.
        say: Tells people how far it is.
        templates: The names of those there are, by what they hold.
    """

    server: Server
    plan: Plan
    say: Callable[[str], None]
    templates: dict[tuple[int, int, bool], str]

    def template(self, tables: int, chain: int = 0, *, lookup: bool = False) -> str:
        """A database with the schema, owned by the owner; made when it is wanted for the first time."""
        key = (tables, chain, lookup)
        if key not in self.templates:
            world, name = self.server.world(OWNER), f"template_{len(self.templates)}"
            world.create(name)
            with connect(world.database(name)) as connection:
                schema.create(connection, tables, chain, lookup=lookup)
            world.wait_until_empty(name)
            self.templates[key] = name
        return self.templates[key]

    def worlds(self) -> Iterator[World]:
        """The server, as each role sees it."""
        return map(self.server.world, self.plan.roles)

    def case(self, part: str, world: World, tables: int) -> Case:
        """A case, to be completed."""
        return Case(part, self.server.major, world.role, tables)


@contextmanager
def entered(world: World, makers: Mapping[str, ways.MakeWay], template: str, tables: int) -> Iterator[dict[str, Way]]:
    """Ways that are set up, each on a database of its own, by their names; afterwards nothing of them is left."""
    with ExitStack() as stack:
        made = {}
        for name, make in makers.items():
            database = f"place_{next(_numbers)}"
            world.create(database, template)
            stack.callback(world.drop, database)
            made[name] = make(world, database, template, tables)
            stack.callback(made[name].close)
        yield made


def compare(case: Case, contenders: Mapping[str, Contender], effort: Effort) -> Iterator[Figure]:
    """Measure contenders in turns."""
    in_turns(list(contenders.values()), effort)
    for name, contender in contenders.items():
        yield figures.of(case, name, contender)


def matrix(bench: Bench) -> Iterator[Figure]:
    """Every way, for every size of the schema and every kind of test."""
    for world, tables in itertools.product(bench.worlds(), bench.plan.tables):
        bench.say(f"{world.role}, {tables} tables: every way")
        case = bench.case("matrix", world, tables)
        with entered(world, ways.ALL, bench.template(tables), tables) as made:
            for dirty in bench.plan.dirty:
                if dirty <= tables:
                    work = schema.writing(schema.spread(tables, dirty)) if dirty else schema.reading(tables)
                    cell = replace(case, work=SMALL if dirty else "reads", dirty=dirty)
                    yield from compare(cell, _taking_part(made, work, tables, dirty), bench.plan.small)
            work = schema.writing(schema.spread(tables, _THREE), bulk=True)
            cell = replace(case, work=BULK, dirty=_THREE)
            yield from compare(
                cell, _taking_part_in_bulk(made, work, all_ways=tables in bench.plan.bulk_tables), bench.plan.bulk
            )


def _taking_part(made: Mapping[str, Way], work: Work, tables: int, dirty: int) -> dict[str, Contender]:
    """Ways that touch all tables take the same time for every test: at the largest sizes one kind is enough."""
    return {
        name: Contender(way, work)
        for name, way in made.items()
        if (tables <= _MODERATE or dirty == _THREE or not _is_slow(name, way))
        and (tables <= _FAR or name not in (_CASCADING, ways.TRUNCATE))
    }


def _taking_part_in_bulk(made: Mapping[str, Way], work: Work, *, all_ways: bool) -> dict[str, Contender]:
    """What does not undo would be measured on ever larger tables."""
    return {
        name: Contender(way, work) for name, way in made.items() if way.isolates and (all_ways or name == ways.PRISTINE)
    }


def _is_slow(name: str, way: Way) -> bool:
    return way.is_constant or name == _CASCADING


def chains(bench: Bench) -> Iterator[Figure]:
    """Every way where foreign keys form chains of ten tables: what cascades reaches no further."""
    length = 10
    for tables in bench.plan.some(100, 1000):
        world = bench.server.world(bench.plan.roles[0])
        bench.say(f"{world.role}, {tables} tables in chains of {length}: every way")
        case = replace(bench.case("chains", world, tables), work=SMALL, dirty=_THREE, chain=length)
        work = schema.writing(schema.spread(tables, _THREE))
        with entered(world, ways.ALL, bench.template(tables, length), tables) as made:
            yield from compare(case, {name: Contender(way, work) for name, way in made.items()}, bench.plan.small)


def bulk(bench: Bench) -> Iterator[Figure]:
    """A test that wrote 100,000 rows, beside one TRUNCATE of the tables that it wrote to."""
    makers: dict[str, ways.MakeWay] = {ways.PRISTINE: ways.Pristine, ways.TRUNCATE_DIRTY: ways.TruncateDirty}
    for world, tables in itertools.product(bench.worlds(), bench.plan.some(*bench.plan.pair_tables)):
        bench.say(f"{world.role}, {tables} tables: 100,000 rows")
        case = replace(bench.case("bulk", world, tables), work=BULK, dirty=_THREE)
        work = schema.writing(schema.last(tables, _THREE), bulk=True)
        with entered(world, makers, bench.template(tables), tables) as made:
            yield from compare_in_pairs(
                case, {name: Contender(way, work) for name, way in made.items()}, bench.plan.pairs
            )


def compare_in_pairs(case: Case, contenders: Mapping[str, Contender], repetitions: int) -> Iterator[Figure]:
    """Measure contenders one repetition at a time, A B A B; the first of each is not counted."""
    for repetition in range(repetitions + 1):
        for contender in contenders.values():
            contender.way.before()
            seconds = contender.once()
            if repetition:
                contender.seconds.append(seconds)
    for name, contender in contenders.items():
        yield figures.of(case, name, contender)


def lookup(bench: Bench) -> Iterator[Figure]:
    """A baseline with a table of 100,000 rows: left alone, read, or written to."""
    tables = 100
    for world in bench.worlds():
        bench.say(f"{world.role}, {tables} tables: a lookup table of {schema.LOOKUP_ROWS:,} rows")
        case = bench.case("lookup", world, tables)
        small = schema.writing(schema.spread(tables, _THREE))
        maker: dict[str, ways.MakeWay] = {ways.PRISTINE: ways.Pristine}
        with (
            entered(world, maker, bench.template(tables), tables) as without,
            entered(world, maker, bench.template(tables, lookup=True), tables) as with_,
        ):
            contenders = {
                "none": Contender(without[ways.PRISTINE], small),
                "not touched": Contender(with_[ways.PRISTINE], small),
            }
            for rows in (1, 10):
                for title, work in schema.changing_lookup(rows):
                    contenders[title] = Contender(with_[ways.PRISTINE], work)
            in_turns(list(contenders.values()), bench.plan.small)
            for title, contender in contenders.items():
                yield figures.of(replace(case, work=title), ways.PRISTINE, contender)


def session(bench: Bench) -> Iterator[Figure]:
    """Many restores in one session: they get no slower, and the process gets no larger."""
    tables, plan = 100, bench.plan
    maker: dict[str, ways.MakeWay] = {ways.PRISTINE: ways.Pristine}
    for world in bench.worlds():
        bench.say(f"{world.role}, {tables} tables: {plan.restores:,} restores")
        case = replace(bench.case("session", world, tables), work=SMALL, dirty=_THREE)
        with entered(world, maker, bench.template(tables), tables) as made:
            contender = Contender(made[ways.PRISTINE], schema.writing(schema.spread(tables, _THREE)))
            for _ in range(plan.window):
                contender.once()
            first, grown = _windows(contender, plan)
            last = contender.seconds
            values = {
                "first_median": summarise(first).median,
                "last_median": summarise(last).median,
                "growth": round(statistics.median(last) / statistics.median(first) - 1, 4),
                "resident_bytes_grown": float(grown),
                "restores": float(plan.restores),
            }
            yield Figure(case, ways.PRISTINE, summarise(last), values=values)


def _windows(contender: Contender, plan: Plan) -> tuple[list[float], int]:
    """Run a session; gives the times of its beginning and by how many bytes our process grew after it.

    Times in between are not kept: they would be what grows. Those of the end are left in the contender.
    """
    process = psutil.Process()
    first = [contender.once() for _ in range(plan.window)]
    gc.collect()
    before = process.memory_info().rss
    for _ in range(plan.restores - 2 * plan.window):
        contender.once()
    gc.collect()
    grown = process.memory_info().rss - before
    contender.seconds = [contender.once() for _ in range(plan.window)]
    return first, grown


ALL: dict[str, Callable[[Bench], Iterator[Figure]]] = {
    "matrix": matrix, "chains": chains, "bulk": bulk, "lookup": lookup, "session": session,
}  # fmt: skip
