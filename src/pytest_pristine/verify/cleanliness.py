"""Items of the checklist that are about what tests leave: database pristine, no connection open, and real Postgres."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_pristine.verify.checklist import FAILED, PASSED, UNKNOWN, Item
from pytest_pristine.verify.records import ProcessRecord, TestRecord

# Tests that a sentence names.
_NAMED = 3
_RESTORING = "pytest --log-cli-level=INFO shows what each restore puts back"


def postgres(described: str, product: str, tests: Sequence[TestRecord]) -> Item:
    """Whether tests ran on a real Postgres.

    Args:
        described: The server, for people; empty when the run came to none.
        product: What the server says that it is, as `version()` gives it.
        tests: What is known of the tests.
    """
    key, title = "postgres", "real Postgres"
    foreign = [f"{test.test}: {what}" for test in tests for what in test.foreign]
    if foreign:
        return Item(
            key, title, FAILED, f"{_number(len(foreign), 'fixture')} of ours replaced by something else",
            ("give tests an engine of Postgres: take the override of the fixture out",), tuple(foreign),
        )  # fmt: skip
    if not described:
        return Item(key, title, FAILED, "the run came to no server", ("see the errors above",))
    if not product.startswith("PostgreSQL ") or "-YB-" in product:
        found = f"{described} says that it is: {product.splitlines()[0] if product else 'nothing'}"
        return Item(key, title, FAILED, found, ("pytest --pristine-server=embedded",))
    return Item(key, title, PASSED, described)


def pristine(tests: Sequence[TestRecord], processes: Sequence[ProcessRecord], silent: Sequence[str] = ()) -> Item:
    """Whether the database was pristine after every test, and that was proven.

    Args:
        tests: What is known of the tests.
        processes: What is known of the processes that ran them.
        silent: Workers that did not say how they ended.
    """
    key, title = "pristine", "database pristine after every test"
    offenders = [*_left(tests), *(what for process in processes for what in process.differences)]
    if offenders:
        return Item(
            key, title, FAILED, f"{_number(len(offenders), 'time')} something was left",
            ("have tests that write ask for clean_database, and end the threads and processes that they start",
             _RESTORING),
            tuple(offenders),
        )  # fmt: skip
    used = [process for process in processes if process.used]
    cleaned = sum(1 for test in tests if test.cleaned)
    if not used:
        return Item(key, title, UNKNOWN, "no test had a database of ours, or its process died")
    unproven = [process for process in used if process.tables is None]
    if unproven or silent:
        problems = [problem for process in unproven for problem in process.problems]
        problems += [_unheard(worker) for worker in silent]
        why = "; ".join(problems) or "proofs are switched off, or the run was ended"
        remedy = ("let the run come to its end, with pristine_proof = sampled or always",)
        return Item(key, title, UNKNOWN, f"{_number(cleaned, 'test')} restored, and not proven: {why}", remedy)
    proven = sum(test.proven for test in tests)
    tables = max(process.tables or 0 for process in used)
    found = f"{_number(cleaned, 'test')} restored, {proven} of them compared with the baseline, and in the end "
    found += f"{_number(tables, 'table')}, all sequences and the catalogue"
    return Item(key, title, PASSED, f"{found}{_escaped(tests)}")


def _escaped(tests: Sequence[TestRecord]) -> str:
    """The tests that committed past a session which is rolled back: they were restored all the same."""
    named = [test.test for test in tests if test.escaped]
    if not named:
        return ""
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"; {', '.join(named[:_NAMED])}{more} committed past a session that is rolled back"


def _left(tests: Sequence[TestRecord]) -> Iterator[str]:
    for test in tests:
        yield from test.found
        yield from (f"{test.test}: {what}" for what in test.differences)
        if test.blocked:
            yield f"{test.test} could not be undone: {test.blocked}"


def connections(tests: Sequence[TestRecord], processes: Sequence[ProcessRecord], silent: Sequence[str] = ()) -> Item:
    """Whether tests gave back all that they opened.

    Args:
        tests: What is known of the tests.
        processes: What is known of the processes that ran them.
        silent: Workers that did not say how they ended.
    """
    key, title = "connections", "no connection left open or in a transaction"
    offenders = [
        *(f"{test.test} left {what}" for test in tests for what in (*test.connections, *test.leftovers)),
        *(what for process in processes for what in process.connections),
    ]
    if offenders:
        remedy = ("close it where it was opened: with engine.connect() as connection: …, or engine.dispose()",)
        return Item(key, title, FAILED, f"{len(offenders)} left", remedy, tuple(offenders))
    if any(process.used and not process.ended for process in processes):
        stopped = "the run was stopped, and what was open in the end was not looked at"
        return Item(key, title, UNKNOWN, stopped, ("let the run come to its end",))
    unseen = [p for process in processes for p in process.problems if p.startswith("connections")]
    unseen += [_unheard(worker) for worker in silent]
    if unseen or not any(process.used for process in processes):
        return Item(key, title, UNKNOWN, "; ".join(unseen) or "no test had a database of ours")
    return Item(key, title, PASSED, "none")


def _unheard(worker: str) -> str:
    return f"{worker} did not say how it ended"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
