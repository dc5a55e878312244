"""The guard's parts, without pytest: whose place it is, what is allowed, which processes escape, what is judged."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from pytest_pristine.errors import SqliteUsedError
from pytest_pristine.verify.records import ProcessRecord, TestRecord
from pytest_pristine.verify.sqlite_guard import engines, processes, uses, verdict
from pytest_pristine.verify.sqlite_guard.notes import VARIABLE, Note, Notes, Orders
from pytest_pristine.verify.sqlite_guard.uses import Use

USE = Use("tests/test_it.py:5 in test_it", uses.OPENED, "shop.db", "shop.db")


class Lazy:
    """A proxy that fails when it is asked anything, as those of web frameworks do outside of a request."""

    def __init__(self, engine: object) -> None:
        object.__setattr__(self, "engine", engine)

    @property
    def __class__(self) -> type:  # type: ignore[override]
        """What it stands for."""
        raise RuntimeError("outside of any request")

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(f"asked for {name}")


def test_objects_that_fail_when_they_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for engines asks no object what it is, and finds those that such an object holds."""
    monkeypatch.setattr(sys.modules[__name__], "lazy", Lazy(create_engine("sqlite://")), raising=False)
    found = engines.living("/root", lambda *_: False)
    assert f"{__name__}.lazy: made when it was imported, for SQLite database ':memory:'" in found


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("diskcache", "diskcache.core", True),
        ("diskcache", "diskcaches", False),
        ("diskcache.*", "diskcache.core", True),
        ("tests/test_it.py", "tests/test_it.py::test_a", True),
        ("tests/test_it.py::test_a[x]", "tests/test_it.py::test_a[x]", True),
        ("tests/test_it.py::*", "tests/test_it.py::Tests::test_a", True),
        ("tests/legacy/*", "tests/legacy/test_b.py::test_b", True),
        ("tests/test_i", "tests/test_it.py::test_a", False),
    ],
)
def test_patterns(pattern: str, name: str, allowed: bool) -> None:  # noqa: FBT001 - a column of the table
    """A pattern stands for a module or a package with its modules, for a file of tests, or for tests."""
    assert uses.allows([pattern], [name]) is allowed


@pytest.mark.parametrize(
    ("database", "name"),
    [
        (":memory:", ":memory:"),
        (b"/root/shop.db", "shop.db"),
        (Path("/root/data/shop.db"), "data/shop.db"),
        ("/elsewhere/shop.db", "/elsewhere/shop.db"),
        ("file:shop.db?mode=ro&key=secret", "file:shop.db"),
        ("", "a temporary one"),
        (12, "12"),
    ],
)
def test_names_of_databases(database: object, name: str) -> None:
    """A database is named relative to the root directory, and without what may be secret."""
    assert uses.name(database, "/root") == name


def test_the_error() -> None:
    """The error names each use once, what to use instead and what would allow it."""
    error = uses.error([USE, USE, USE._replace(module="", how="in a fork")], "tests/test_it.py::test_it")
    assert isinstance(error, SqliteUsedError)
    assert str(error).splitlines() == [
        "sought:  a test that works on Postgres alone: tests/test_it.py::test_it",
        "found:   tests/test_it.py:5 in test_it: opened SQLite database 'shop.db'",
        "         tests/test_it.py:5 in test_it: opened SQLite database 'shop.db', in a fork",
        "to do:   use the fixture postgres_engine, or an engine made from postgres_url",
        "to do:   where SQLite is meant, allow it: pristine_sqlite_allow = shop.db or tests/test_it.py::test_it",
    ]


WATCHED = {VARIABLE: "x", "PATH": os.environ["PATH"]}
PYTHON = sys.executable
FOREIGN = "because its environment is not the test's"


@pytest.mark.parametrize(
    ("event", "arguments", "reason"),
    [
        ("subprocess.Popen", (PYTHON, [PYTHON, "-c", "-S"], None, WATCHED), ""),
        ("subprocess.Popen", (PYTHON, [PYTHON, "-m", "x", "-S"], None, WATCHED), ""),
        ("subprocess.Popen", (PYTHON, [PYTHON, "-Ws", "-WS", "-Xfrozen_modules=S", "x.py"], None, WATCHED), ""),
        ("subprocess.Popen", (PYTHON, [PYTHON, "-S", "x.py"], None, WATCHED), "because of its option -S"),
        ("subprocess.Popen", (PYTHON, [PYTHON, "-BIS", "-c", ""], None, WATCHED), "because of its option -S"),
        ("subprocess.Popen", (PYTHON, [PYTHON], None, {os.fsencode(VARIABLE): b"x"}), ""),
        ("subprocess.Popen", (None, ["python3", "x.py"], None, {}), FOREIGN),
        ("subprocess.Popen", (None, ["python3.14"], None, {}), FOREIGN),
        ("subprocess.Popen", ("/bin/sh", ["/bin/sh", "-c", "exec python3 x.py"], None, {}), FOREIGN),
        ("subprocess.Popen", ("/bin/sh", ["/bin/sh", "-c", "echo"], None, {}), None),
        ("subprocess.Popen", (None, "ls -l", None, {}), None),
        ("subprocess.Popen", (None, [Path(PYTHON), "x.py"], None, {}), FOREIGN),
        ("subprocess.Popen", (str(Path(PYTHON).with_name("pip")), ["pip"], None, {}), FOREIGN),
        ("subprocess.Popen", (str(Path(PYTHON).with_name("ruff")), ["ruff"], None, {}), None),
        ("subprocess.Popen", ("/nowhere/at/all", ["all"], None, {}), None),
        ("os.exec", (PYTHON, [PYTHON], {}), FOREIGN),
        ("os.posix_spawn", (PYTHON, [PYTHON], {}), FOREIGN),
        ("os.spawn", (0, PYTHON, [PYTHON], {}), FOREIGN),
    ],
)
def test_processes_that_escape(event: str, arguments: tuple[object, ...], reason: str | None) -> None:
    """A process of Python without the variable, without site or of another Python is told; others are not."""
    assert processes.unwatched(event, arguments) == reason


def test_another_python(tmp_path: Path) -> None:
    """A Python of another environment has not our package."""
    other = tmp_path / "python3"
    other.symlink_to(PYTHON)
    given = ("subprocess.Popen", (str(other), ["python3"], None, WATCHED))
    assert processes.unwatched(*given) == f"because it is another Python ({other})"


def test_notes(tmp_path: Path) -> None:
    """Each note is read once, and a line that is still being written later."""
    notes = Notes(str(tmp_path))
    notes.begin(Orders("/root", ("diskcache",)))
    assert Notes(str(tmp_path)).orders() == Orders("/root", ("diskcache",))
    assert list(notes.new()) == []
    told = [Note("a", USE), Note("b", None, "escaped")]
    for note in told:
        Notes(str(tmp_path)).add(note)
    with (tmp_path / "notes.jsonl").open("a") as file:
        file.write('["c", null')
    assert list(notes.new()) == told
    with (tmp_path / "notes.jsonl").open("a") as file:
        file.write(', "late"]\n')
    assert list(notes.new()) == [Note("c", None, "late")]
    assert list(notes.new()) == []


def test_a_note_after_the_run(tmp_path: Path) -> None:
    """A process that outlives the run tells nobody, and does not notice."""
    Notes(str(tmp_path / "gone")).add(Note("a", USE))
    assert not (tmp_path / "gone").exists()


def record(name: str, *used: str, watched: bool = True) -> TestRecord:
    """The record of a test."""
    return TestRecord(name, watched=watched, sqlite=list(used))


def test_judging_no_use() -> None:
    """Where guarded tests ran and none used SQLite, the item has passed, and says how many were watched."""
    item = verdict.judge([record("a"), record("b"), record("c", watched=False)], [ProcessRecord("main")])
    assert (item.key, item.title, item.state) == ("sqlite", "no SQLite connection", "passed")
    assert item.found == "2 tests watched, with the processes they started; 1 other was not"


def test_judging_uses() -> None:
    """Each use of a test, and each that belongs to none, is an offender with its place."""
    engine = "app.engine: made"
    ran = [ProcessRecord("gw0", sqlite=[engine]), ProcessRecord("gw1", sqlite=[engine])]
    item = verdict.judge([record("a", "x.py:1 in f: opened", "x.py:2"), record("b")], ran)
    assert (item.state, item.found) == ("failed", "3 uses of SQLite")
    assert item.offenders == ("a: x.py:1 in f: opened", "a: x.py:2", "app.engine: made")
    assert any("postgres_engine" in line for line in item.remedy)
    assert any("pristine_sqlite_allow" in line for line in item.remedy)


def test_judging_nothing() -> None:
    """Where no test was guarded, nothing is claimed."""
    item = verdict.judge([record("a", watched=False)], [ProcessRecord("main")])
    assert (item.state, item.found) == ("unknown", "no test was guarded")


def test_judging_a_process_that_escaped() -> None:
    """Where a process was not watched, nothing is claimed; problems of others do not matter."""
    other = ProcessRecord("main", problems=["the last proof could not be made"])
    escaped = ProcessRecord("main", problems=["a started a process of Python that was not watched, because"])
    assert verdict.judge([record("a")], [other]).state == "passed"
    item = verdict.judge([record("a")], [other, escaped])
    assert item.state == "unknown"
    assert "1 process not watched: a started" in item.found
