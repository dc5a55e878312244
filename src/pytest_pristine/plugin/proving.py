"""What is recorded of each test, and what of the process at its end. Hooks of whoever runs tests."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from pytest_pristine.errors import PristineError, UnprovenError
from pytest_pristine.plugin import collection, covering, freshening, layering, recording, redaction, rolling_back, state

if TYPE_CHECKING:
    from pytest_pristine.plugin.recording import Equipment
    from pytest_pristine.verify.records import ProcessRecord, TestRecord

_POSTGRES = "postgresql"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin the record of a test."""
    equipment = recording.equipment(item.config)
    if not collection.runs_tests(item.config) or (equipment is None and not collection.names_ours(item)):
        return
    record = recording.begin(item)
    if equipment is not None:
        equipment.recorder.begin()
        equipment.note(record)
        layering.settle(equipment.layers, item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Tell what a test takes of the engine from what fixtures take that live longer."""
    equipment = recording.equipment(item.config)
    if equipment is None:
        return (yield)
    with equipment.checkouts.within(item.nodeid):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a worker of pytest-xdist: send what was recorded of this process."""
    config = session.config
    if state.is_xdist_worker(config):
        finish(config, ended=False)
        if recording.has_process(config):
            config.workeroutput[recording.OUTPUT] = process(config).as_dict()  # type: ignore[attr-defined]


def process(config: pytest.Config) -> ProcessRecord:
    """What was recorded of this process, without the server's password."""
    from pytest_pristine.verify.records import ProcessRecord  # most runs have nothing to record

    return ProcessRecord.read(cleaned(config, recording.of_process(config).as_dict()))


def observe(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add to a report what a failed test did, and to that of its end all that was recorded of it."""
    if not recording.has_test(item):
        return
    record = recording.of_test(item)
    equipment = recording.equipment(item.config)
    if equipment is not None and not record.ours and collection.has_used(item):
        record.ours = True
        equipment.note_writer(record)
    if equipment is not None and record.alone and collection.has_used_shared(item):
        record.alone = False
        equipment.note_writer(record)
    if report.failed and report.when != "teardown":
        recording.fail(item)
        if equipment is not None and record.ours:
            report.sections += _told(equipment, item)
    if report.when != "teardown":
        return
    record.foreign += _foreign(item)
    if equipment is not None:
        with _noting(recording.of_process(item.config).problems, f"what {item.nodeid} did"):
            _sum_up(equipment, record, item)
    if record.ours or record.sqlite or record.foreign:
        setattr(report, recording.ATTRIBUTE, cleaned(item.config, record.as_dict()))


def cleaned(config: pytest.Config, data: Any) -> Any:  # noqa: ANN401 - whatever JSON has
    """A record without the server's password: statements may hold it, and what sessions ran last."""
    server = state.found(config)
    return data if server is None else redaction.clean(data, server.url)


def _told(equipment: Equipment, item: pytest.Item) -> list[tuple[str, str]]:
    """The sections of a failure's report: what the test ran, and what it wrote."""
    settings, recorder = equipment.settings, equipment.recorder
    sections = []
    last = min(settings.statements.value, recorder.count)
    if last:
        which = "the statement" if recorder.count == 1 else f"the last {last} of {recorder.count} statements"
        shown = recorder.shown(parameters=settings.parameters.value == "show")
        sections.append((f"pristine: {which}", shown))
    written = _written(equipment, item)
    if written:
        sections.append(("pristine: what it wrote", written))
    return sections


def _written(equipment: Equipment, item: pytest.Item) -> str:
    """What a test has written so far, in words."""
    if recording.of_test(item).alone:
        return _written_alone(equipment, item)
    # What an older fixture wrote is gone: a test that misses it would look in vain for the reason.
    undone = [f"clean_database undid before the test what {found}" for found in recording.of_test(item).found]
    return "\n".join([_committed(equipment, item), *rolling_back.told(equipment), *undone])


def _written_alone(equipment: Equipment, item: pytest.Item) -> str:
    """The same of a test that has a database of its own alone; nothing when that was refused."""
    if not freshening.has_one(item):
        return ""
    keeps = "" if equipment.settings.keep_failed.value else "; --pristine-keep-failed=3 keeps the database"
    return f"what it committed to its fresh_database is not told{keeps}"


def _committed(equipment: Equipment, item: pytest.Item) -> str:
    try:
        changes = equipment.isolation.describe()
    except PristineError as error:
        return f"it cannot be told: {rolling_back.named(equipment, error.found)}"
    except Exception as error:  # noqa: BLE001 - the failure itself must be told, whatever becomes of this
        return f"it cannot be told: {str(error).strip() or type(error).__name__}"
    record = recording.of_test(item)
    before = [test for test in equipment.since if test != item.nodeid]
    also = f" (with what {', '.join(before)} left)" if str(changes) and before and not record.cleaned else ""
    return (str(changes) or "nothing that was committed") + also


def _foreign(item: pytest.Item) -> list[str]:
    """Fixtures of ours that a project has replaced by something that is no Postgres, in words."""
    found = []
    for name in collection.DATABASES:
        value = getattr(item, "funcargs", {}).get(name)
        # A session is bound to an engine or to a connection of one; an engine has its dialect, a URL the name of one.
        bind = getattr(value, "bind", None) or value
        url = getattr(getattr(bind, "engine", bind), "url", bind)
        backend = getattr(url, "get_backend_name", None)
        if backend is not None and backend() != _POSTGRES:
            found.append(f"{name} is {backend()}")
    return found


def _sum_up(equipment: Equipment, record: TestRecord, item: pytest.Item) -> None:
    recorder = equipment.recorder
    record.statements, record.sql = recorder.count, recorder.seconds
    record.shapes = list(recorder.shapes.values())
    if record.ours and not record.cleaned:
        covering.look(equipment, record)
    record.connections += equipment.checkouts.left(item.nodeid)


def finish(config: pytest.Config, *, ended: bool) -> None:
    """Prove for the last time that the database is pristine, and look at what was left open.

    Args:
        config: pytest's configuration.
        ended: All fixtures that use the database were torn down: what is open now stays open.
    """
    equipment = recording.equipment(config)
    if equipment is None or equipment.is_finished:
        return
    equipment.is_finished = True
    equipment.recorder.close()
    process, server = recording.of_process(config), state.found(config)
    if server is not None:
        spent = server.spent
        process.start, process.migrations, process.clone = spent.start, spent.migrations, spent.clone
    with _noting(process.problems, "schema coverage"):
        covering.finish(equipment, process)
    with _noting(process.problems, "connections that were left open"):
        process.ended = ended
        if ended:
            from pytest_pristine.verify import left_open  # heavy, and most runs need none

            known = equipment.checkouts.pids
            process.connections += equipment.checkouts.rest()
            process.connections += left_open.at_end(equipment.workspace.url, equipment.begun, known)
    with _noting(process.problems, "the last proof"):
        _prove(equipment, process)


def _prove(equipment: Equipment, process: ProcessRecord) -> None:
    isolation, proof = equipment.isolation, equipment.isolation.proof
    spent = proof.spent
    left = isolation.prepare()
    # A test that somebody interrupted was not undone before; those that ask for no restore never are.
    if (process.ended or equipment.since) and (left.rows or left.others):
        process.differences.append(f"{equipment.who()} left {left}")
    if proof.mode == "off":
        return
    try:
        process.differences += [f"{what}, while nothing should be running" for what in isolation.prove(last=True)]
        process.tables = isolation.tables
    except UnprovenError as error:
        process.differences += error.found.splitlines()
    process.proof = proof.spent - spent


@contextlib.contextmanager
def _noting(problems: list[str], what: str) -> Generator[None, None, None]:
    """Have a problem noted: evidence that could not be had is none, and a run does not break of it."""
    try:
        yield
    except PristineError as error:
        problems.append(f"{what}: {error.found}")
    except Exception as error:  # noqa: BLE001 - whatever it is
        problems.append(f"{what}: {str(error).strip() or type(error).__name__}")
