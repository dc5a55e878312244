"""The guard in runs: with fixtures of ours, workers and forks, engines made at import, processes that escape."""

from __future__ import annotations

import json
import os
import re
import sys

import pytest

from tests.conftest import Project
from tests.diagnosis.conftest import doctor
from tests.verify.conftest import RECORDER, Guarded
from tests.workers.test_xdist import FORKED

OPENS = """
    import sqlite3

    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_opens(number):
        sqlite3.connect(f"{number}.db")
"""


def test_a_test_with_fixtures_of_ours(project: Project) -> None:
    """A test that uses a fixture of ours is guarded wherever it lies, and one beside it that uses none is not."""
    project.write("test_users.py", """
        import sqlite3

        def test_guarded(postgres_engine):
            with postgres_engine.connect():
                pass
            sqlite3.connect("guarded.db")

        def test_free():
            sqlite3.connect(":memory:").close()
    """)  # fmt: skip
    project.write("recorder.py", RECORDER)
    done = project.run("-p", "no:randomly", "-p", "recorder", PYTHONPATH=str(project.path))
    assert "1 failed, 1 passed" in done.output
    # Processes that we start ourselves are no concern of the guard.
    process = json.loads((project.path / "records.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert process["problems"] == []
    assert "test_users.py:7 in test_guarded: opened SQLite database 'guarded.db'" in done.output


@pytest.mark.skipif(sys.platform == "win32", reason="there is no signal that ends a process at once")
def test_a_run_that_is_killed(guarded: Guarded, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What it left is named by the doctor and removed by the next run; what lives, or is not ours, is left alone."""
    temporary = tmp_path_factory.mktemp("temporary")
    environ = {"TMPDIR": str(temporary), "PRISTINE_SQLITE_GUARD": "tests"}
    guarded.write("tests/test_it.py", "import os, signal\n\ndef test_it():\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    assert guarded.project.run(**environ).status == -9
    (killed,) = temporary.glob("pristine-sqlite-*")
    living = temporary / re.sub(r"-\d+-\w+$", f"-{os.getpid()}-living", killed.name)
    other = temporary / "pristine-sqlite-of-somebody"
    for directory in (living, other):
        directory.mkdir()
    assert doctor(guarded.project, **environ).tell("leftovers", "temporary directories") == (
        "warning", f"of runs that were killed: {killed}", ["the next run with databases removes them"],
    )  # fmt: skip
    guarded.write("tests/test_it.py", "def test_it(): pass\n")
    assert guarded.project.run(**environ).status == 0
    assert set(temporary.glob("pristine-sqlite-*")) == {living, other}


def test_an_error_of_pytest_itself(guarded: Guarded) -> None:
    """It is shown with pytest's own lines: none of the guard's stands there as if it had raised it."""
    guarded.write("conftest.py", """
        import pytest
        from _pytest.runner import SetupState

        def setup(self, item):
            raise AssertionError

        SetupState.setup = setup
    """)  # fmt: skip
    guarded.write("tests/test_it.py", "def test_it(): pass\n")
    done = guarded.run()
    assert "AssertionError" in done.output
    assert "guarding.py" not in done.output


def test_nested_pytest(guarded: Guarded) -> None:
    """A test that runs tests, in this process or another, answers for what they do."""
    guarded.write("conftest.py", "pytest_plugins = ['pytester']\n")
    guarded.write("tests/test_outer.py", """
        import pytest

        @pytest.mark.parametrize("arguments", [(), ("--pristine-sqlite-guard=.",)])
        @pytest.mark.parametrize("way", ["inprocess", "subprocess"])
        def test_it(pytester, way, arguments):
            pytester.makepyfile("import sqlite3; test_a = lambda: sqlite3.connect('shop.db')")
            run = getattr(pytester, f"runpytest_{way}")
            run("-p", "no:randomly", *arguments).assert_outcomes(failed=1)
    """)  # fmt: skip
    done = guarded.run()
    assert "4 failed" in done.output
    assert len(guarded.used()) == 4, done.output


def test_workers(guarded: Guarded) -> None:
    """Workers of pytest-xdist guard the tests that they run."""
    guarded.write("tests/test_it.py", OPENS)
    done = guarded.run("-p", "xdist", "-n", "2")
    assert "4 failed" in done.output
    assert len(guarded.used()) == 4, done.output


def test_forks(guarded: Guarded) -> None:
    """A test that runs in a fork of its own is guarded there."""
    guarded.write("forked_plugin.py", FORKED)
    guarded.write("tests/test_it.py", OPENS)
    done = guarded.run("-p", "forked_plugin", "--forked")
    assert "4 failed" in done.output
    assert "tests/test_it.py:8 in test_opens: opened SQLite database '3.db'" in done.output


@pytest.mark.parametrize("makes", ["create_engine", "create_async_engine", "sessionmaker", "holder"])
def test_an_engine_made_at_import(guarded: Guarded, makes: str) -> None:
    """An engine for SQLite that the application made when it was imported is reported, with what holds it."""
    driver = "sqlite+aiosqlite" if "async" in makes else "sqlite"
    made = {
        "create_engine": f"engine = create_engine('{driver}://')",
        "create_async_engine": f"engine = create_async_engine('{driver}://')",
        "sessionmaker": f"engine = sessionmaker(bind=create_engine('{driver}://'))",
        "holder": f"class App: pass\nengine = App()\nengine.state = create_engine('{driver}://')",
    }[makes]
    imports = "from sqlalchemy import create_engine\nfrom sqlalchemy.orm import sessionmaker\n"
    imports += "from sqlalchemy.ext.asyncio import create_async_engine\n"
    guarded.write("app/__init__.py", "")
    guarded.write("app/db.py", f"{imports}{made}\n")
    guarded.write("tests/conftest.py", "from app.db import engine\n")
    guarded.write("tests/test_it.py", "from app.db import engine\ndef test_it(): pass\n")
    assert guarded.run().status == 0
    assert guarded.process()["sqlite"] == ["app.db.engine: made when it was imported, for SQLite database ':memory:'"]
    assert guarded.run("--pristine-sqlite-allow=app.db").status == 0
    assert guarded.process()["sqlite"] == []


def test_an_engine_for_postgres_made_at_import(guarded: Guarded) -> None:
    """Engines for other databases are not reported, and neither is a dialect that was merely imported."""
    guarded.write("tests/test_it.py", """
        import sqlalchemy.dialects.sqlite
        from sqlalchemy import create_engine

        engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")

        def test_it():
            create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    """)  # fmt: skip
    assert guarded.run().status == 0
    assert guarded.process()["sqlite"] == []


def test_a_module_that_makes_an_engine_when_a_test_imports_it(guarded: Guarded) -> None:
    """An engine that is made while a test runs fails it, and so does one in a module that the test imports first."""
    guarded.write("app.py", "from sqlalchemy import create_engine\nengine = create_engine('sqlite:///shop.db')\n")
    guarded.write("tests/test_it.py", "def test_it():\n    import app\n")
    done = guarded.run()
    assert done.status == 1
    assert "app.py:2 in <module>: made an engine for SQLite database 'shop.db'" in done.output


ESCAPES = {
    "a clean environment": ("[sys.executable, '-c', SCRIPT], env={}", "because its environment is not the test's"),
    "no site": ("[sys.executable, '-IS', '-c', SCRIPT]", "because of its option -S"),
    "another Python": ("[OTHER, '-c', SCRIPT]", f"because it is another Python ({sys._base_executable})"),  # type: ignore[attr-defined]
    "a shell": ("f'{sys.executable} -c \"pass\"', shell=True, env={}", "because its environment is not the test's"),
}


@pytest.mark.parametrize("escape", ESCAPES)
def test_a_process_that_escapes(guarded: Guarded, escape: str) -> None:
    """A process of Python that cannot be watched is noted as a problem, once for each test."""
    start, reason = ESCAPES[escape]
    guarded.write("tests/test_it.py", f"""
        import subprocess
        import sys

        OTHER = sys._base_executable
        SCRIPT = "import sqlite3; sqlite3.connect(':memory:')"

        def test_it():
            for _ in range(2):
                subprocess.run({start}, check=True)
    """)  # fmt: skip
    done = guarded.run()
    assert done.status == 0, done.output
    assert guarded.process()["problems"] == [
        (
            "tests/test_it.py::test_it started a process of Python that was not watched, "
            f"{reason} (tests/test_it.py:10 in test_it)"
        )
    ]


def test_processes_that_do_not_escape(guarded: Guarded) -> None:
    """Other programs, and processes of Python that are watched, are no problem."""
    guarded.write("tests/test_it.py", """
        import os
        import subprocess
        import sys

        def test_it():
            subprocess.run([sys.executable, "-c", "pass"], check=True)
            subprocess.run([sys.executable, "-I", "-c", "pass"], check=True, env={**os.environ, "MORE": "1"})
            subprocess.run(["/bin/echo", "python"], check=True, env={})
            subprocess.run("echo", shell=True, check=True, env={})
    """)  # fmt: skip
    assert guarded.run().status == 0
    assert guarded.process()["problems"] == []


def test_a_process_that_outlives_its_test(guarded: Guarded) -> None:
    """What a process does when its test is over is told of the run, with the test that started it."""
    guarded.write("late.py", """
        import pathlib
        import sqlite3
        import time

        while not pathlib.Path("over").exists():
            time.sleep(0.01)
        sqlite3.connect("late.db")
    """)  # fmt: skip
    guarded.write("tests/test_it.py", """
        import pathlib
        import subprocess
        import sys

        started = []

        def test_starts():
            started.append(subprocess.Popen([sys.executable, "late.py"], stderr=subprocess.DEVNULL))

        def test_later():
            pathlib.Path("over").touch()
            started.pop().wait()
    """)  # fmt: skip
    assert guarded.run().status == 0
    assert guarded.used() == []
    assert guarded.process()["sqlite"] == [
        (
            "tests/test_it.py::test_starts: late.py:8 in <module>: opened SQLite database 'late.db', "
            "in a process of Python that the test started, after its end"
        )
    ]


def test_a_broken_order_breaks_no_python(guarded: Guarded) -> None:
    """A Python that finds the variable and nothing behind it starts as ever."""
    guarded.write("tests/test_it.py", """
        import subprocess
        import sys

        import pytest

        @pytest.mark.parametrize("value", ["", "/nowhere", "nul"])
        def test_it(monkeypatch, value, tmp_path):
            monkeypatch.setenv("PRISTINE_SQLITE_WATCH", value)
            done = subprocess.run([sys.executable, "-c", "print('well')"], capture_output=True, text=True, check=True)
            assert (done.stdout, done.stderr) == ("well\\n", "")
    """)  # fmt: skip
    assert guarded.run().status == 0


def test_engines_of_tests_that_are_not_guarded(guarded: Guarded) -> None:
    """Engines that unguarded tests and their conftest.py made are theirs, in a run with guarded ones beside them."""
    guarded.write("tests/test_it.py", "def test_it(): pass\n")
    guarded.write("unit/conftest.py", "from sqlalchemy import create_engine\nfirst = create_engine('sqlite://')\n")
    guarded.write("unit/test_unit.py", """
        from sqlalchemy import create_engine

        second = create_engine('sqlite://')

        def test_unit():
            with second.connect():
                pass
    """)  # fmt: skip
    done = guarded.run("tests", "unit", "--import-mode=importlib")
    assert done.status == 0, done.output
    assert guarded.process()["sqlite"] == []


def test_an_engine_of_a_guarded_test(guarded: Guarded) -> None:
    """An engine that a guarded test's module or conftest.py made is reported."""
    guarded.write("tests/conftest.py", "from sqlalchemy import create_engine\nfirst = create_engine('sqlite://')\n")
    guarded.write("tests/test_it.py", """
        from sqlalchemy import create_engine

        second = create_engine("sqlite:///shop.db")

        def test_it():
            pass
    """)  # fmt: skip
    assert guarded.run().status == 0
    assert sorted(guarded.process()["sqlite"]) == [
        "conftest.first: made when it was imported, for SQLite database ':memory:'",
        "test_it.second: made when it was imported, for SQLite database 'shop.db'",
    ]
