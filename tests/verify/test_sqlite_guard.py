"""A guarded test that opens SQLite fails, in whatever way it does it."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.conftest import finish
from tests.verify.conftest import Guarded

# Each way, with what the message names as place and database. `# here` marks the line.
WAYS = {
    "memory": ("""
        import sqlite3

        def test_it():
            sqlite3.connect(":memory:")  # here
    """, ":memory:"),
    "disk": ("""
        import sqlite3

        def test_it(tmp_path):
            sqlite3.connect(tmp_path.parent / "shop.db")  # here
    """, "shop.db"),
    "connection": ("""
        import sqlite3

        class Own(sqlite3.Connection):
            pass

        def test_it():
            Own("own.db")  # here
    """, "own.db"),
    "bound": ("""
        from sqlite3 import connect

        def test_it():
            connect("file:x.db?mode=memory&key=secret", uri=True)  # here
    """, "file:x.db"),
    "eval": ("""
        import sqlite3

        def test_it():
            eval("sqlite3.connect(':memory:')")  # here
    """, ":memory:"),
    "partial": ("""
        import functools
        import sqlite3

        def test_it():
            functools.partial(sqlite3.connect, ":memory:")()  # here
    """, ":memory:"),
    "asynchronous generator": ("""
        import asyncio

        import aiosqlite

        async def rows():
            async with aiosqlite.connect(":memory:"):  # here
                yield

        async def opens():
            async for _ in rows():
                pass

        def test_it():
            asyncio.run(opens())
    """, ":memory:"),
    "forkserver": ("""
        import multiprocessing
        import sqlite3

        def opens():
            try:
                sqlite3.connect(":memory:")  # here
            except Exception:
                pass

        def test_it():
            child = multiprocessing.get_context("forkserver").Process(target=opens)
            child.start()
            child.join()
    """, ":memory:"),
    "raises": ("""
        import sqlite3

        import pytest

        def test_it():
            pytest.raises(ZeroDivisionError, sqlite3.connect, ":memory:")  # here
    """, ":memory:"),
    "sqlalchemy": ("""
        from sqlalchemy import create_engine, text

        engine = create_engine("sqlite://")

        def test_it():
            with engine.connect() as connection:  # here
                connection.execute(text("SELECT 1"))
    """, ":memory:"),
    "engine": ("""
        def test_it():
            from sqlalchemy import create_engine
            create_engine("sqlite:///shop.db")  # here
    """, "shop.db"),
    "async engine": ("""
        def test_it():
            from sqlalchemy.ext.asyncio import create_async_engine
            create_async_engine("sqlite+aiosqlite://")  # here
    """, ":memory:"),
    "aiosqlite": ("""
        import asyncio

        import aiosqlite

        async def opens():
            async with aiosqlite.connect(":memory:"):  # here
                pass

        async def waits():
            await asyncio.gather(asyncio.sleep(10), asyncio.wait_for(opens(), 10))

        def test_it():
            asyncio.run(waits())
    """, ":memory:"),
    "aiosqlite in a context manager": ("""
        import asyncio
        from contextlib import asynccontextmanager

        import aiosqlite

        @asynccontextmanager
        async def database():
            connection = await aiosqlite.connect(":memory:")  # here
            yield connection

        async def opens():
            async with database():
                pass

        def test_it():
            asyncio.run(opens())
    """, ":memory:"),
    "sqlalchemy and aiosqlite": ("""
        import asyncio

        from sqlalchemy.ext.asyncio import create_async_engine

        engine = create_async_engine("sqlite+aiosqlite://")

        async def opens():
            async with engine.begin():  # here
                pass

        def test_it():
            asyncio.run(opens())
    """, ":memory:"),
    "sqlalchemy's session and aiosqlite": ("""
        import asyncio

        from sqlalchemy import text
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

        engine = create_async_engine("sqlite+aiosqlite:///shop.db")

        def inside(session):
            session.execute(text("SELECT 1"))  # here

        async def opens():
            async with AsyncSession(engine) as session:
                await session.run_sync(inside)

        def test_it():
            asyncio.run(opens())
    """, "shop.db"),
    "executor": ("""
        import asyncio
        import sqlite3

        async def opens():
            await asyncio.to_thread(sqlite3.connect, ":memory:")  # here

        def test_it():
            asyncio.run(opens())
    """, ":memory:"),
    "thread": ("""
        import sqlite3
        from concurrent.futures import ThreadPoolExecutor

        def test_it():
            with ThreadPoolExecutor() as pool:
                pool.submit(sqlite3.connect, ":memory:").result()  # here
    """, ":memory:"),
    "code in a thread": ("""
        import sqlite3
        from concurrent.futures import ThreadPoolExecutor

        def opens():
            sqlite3.connect(":memory:")  # here

        def test_it():
            with ThreadPoolExecutor() as pool:
                pool.submit(opens).result()
    """, ":memory:"),
    "fork": ("""
        import os
        import sqlite3

        def test_it():
            child = os.fork()
            if child == 0:
                try:
                    sqlite3.connect(":memory:")  # here
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
    """, ":memory:"),
    "spawn": ("""
        import multiprocessing
        import sqlite3

        def opens():
            try:
                sqlite3.connect(":memory:")  # here
            except Exception:
                pass

        def test_it():
            child = multiprocessing.get_context("spawn").Process(target=opens)
            child.start()
            child.join()
    """, ":memory:"),
    "fixture": ("""
        import sqlite3

        import pytest

        @pytest.fixture(scope="session")
        def database():
            yield sqlite3.connect(":memory:")  # here

        def test_it(database):
            pass
    """, ":memory:"),
    "teardown": ("""
        import sqlite3

        import pytest

        @pytest.fixture
        def database():
            yield
            sqlite3.connect(":memory:")  # here

        def test_it(database):
            pass
    """, ":memory:"),
    "unittest": ("""
        import sqlite3
        import unittest

        class Tests(unittest.TestCase):
            def test_it(self):
                sqlite3.connect(":memory:")  # here
    """, ":memory:"),
}  # fmt: skip


def marked(text: str) -> int:
    """The number of the line that is marked, in the file as it is written."""
    lines = text.splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.endswith("# here"))


@pytest.mark.parametrize("way", WAYS)
def test_a_way_to_open(guarded: Guarded, way: str) -> None:
    """The test fails with the place in the code, the database and what to use instead; the record has it too."""
    text, database = WAYS[way]
    guarded.write("tests/test_it.py", text)
    done = guarded.run()
    assert done.status == 1, done.output
    did = "made an engine for" if "engine" in way.split() else "opened"
    told = rf"tests/test_it\.py:{marked(text)} in [\w.<>]+: {did} SQLite database '[^']*{re.escape(database)}'"
    assert re.search(told, done.message()), done.output
    assert "use the fixture postgres_engine" in done.output
    assert "pristine_sqlite_allow = test_it" in done.output
    assert "Traceback" not in done.output
    assert "secret" not in " ".join(guarded.used())
    (used,) = guarded.used()
    assert re.match(told, used)


CHILDREN = {
    "code": ["-c", "import sqlite3; sqlite3.connect(':memory:')"],
    "module": ["-m", "opens"],
    "script": ["opens.py"],
    "isolated": ["-I", "-c", "import sqlite3; sqlite3.connect(':memory:')"],
    "an engine": ["-c", "import sqlalchemy; sqlalchemy.create_engine('sqlite://')"],
}
if sys.version_info >= (3, 12):
    CHILDREN["module of the library"] = ["-m", "sqlite3", ":memory:", "SELECT 1"]


@pytest.mark.parametrize("child", CHILDREN)
def test_a_process_of_python(guarded: Guarded, child: str) -> None:
    """A process of Python that the test starts is watched, and its use fails the test although nobody looks at it."""
    guarded.write("opens.py", "import sqlite3\nsqlite3.connect(':memory:')\n")
    guarded.write("tests/test_it.py", f"""
        import subprocess
        import sys

        def test_it():
            done = subprocess.run([sys.executable, *{CHILDREN[child]!r}], check=False, capture_output=True, text=True)
            assert done.returncode
            assert "SqliteUsedError" in done.stderr
    """)  # fmt: skip
    done = guarded.run()
    assert done.status == 1, done.output
    (used,) = guarded.used()
    assert "SQLite database ':memory:', in a process of Python that the test started at tests/test_it.py:6" in used
    assert used in done.message()
    assert ("opens.py:2 in <module>" in used) == (child in ("module", "script"))


def test_a_swallowed_error(guarded: Guarded) -> None:
    """Code that goes on without SQLite, a skip or a failure of another kind do not hide what it tried."""
    guarded.write("tests/test_it.py", """
        import contextlib
        import sqlite3

        import pytest

        def opens():
            with contextlib.suppress(Exception):
                sqlite3.connect(":memory:")

        def test_goes_on():
            opens()

        def test_skips():
            opens()
            pytest.skip("no database")

        def test_fails():
            opens()
            assert False
    """)  # fmt: skip
    done = guarded.run()
    assert "3 failed" in done.output
    assert done.output.count("found:   tests/test_it.py:9 in opens: opened SQLite database ':memory:'") == 3


def test_a_test_elsewhere(guarded: Guarded) -> None:
    """A test outside the guarded directories may open SQLite, after guarded ones too, and so may its processes."""
    guarded.write("tests/test_it.py", "def test_guarded(): pass\n")
    guarded.write("unit/test_unit.py", """
        import os
        import sqlite3
        import subprocess
        import sys

        def test_free():
            sqlite3.connect(":memory:").close()
            assert "PRISTINE_SQLITE_WATCH" not in os.environ
            script = "import sqlite3; sqlite3.connect(':memory:').close()"
            subprocess.run([sys.executable, "-c", script], check=True)

            from sqlalchemy import create_engine
            create_engine("sqlite://")
    """)  # fmt: skip
    done = guarded.run("tests", "unit")
    assert done.status == 0, done.output
    assert guarded.used() == []


def test_a_run_without_guarded_tests(guarded: Guarded) -> None:
    """Where no test is guarded there is no hook, no guard and no file, and none of its modules is loaded."""
    guarded.write("tests/test_it.py", "def test_it(): pass\n")
    guarded.write("unit/test_unit.py", """
        import sys

        def test_free(request):
            assert not [name for name in sys.modules if name.startswith("pytest_pristine.verify.sqlite_guard")]
            assert not request.config.pluginmanager.has_plugin("pristine-sqlite-guard")
    """)  # fmt: skip
    assert guarded.run("unit").status == 0


@pytest.mark.parametrize("allowed", ["shelf", "shelf.*", "she*", "test_it", "tests/test_it.py", "tests/test_it.py::*"])
def test_what_is_allowed(guarded: Guarded, allowed: str) -> None:
    """A module, a package with its modules, or a test that is allowed to may open SQLite."""
    guarded.write("shelf/__init__.py", "")
    guarded.write("shelf/core.py", "import sqlite3\ndef opens():\n    sqlite3.connect(':memory:').close()\n")
    guarded.write("tests/test_it.py", """
        from shelf.core import opens

        def test_it():
            opens()
    """)  # fmt: skip
    assert guarded.run().status == 1
    direct = allowed == "test_it"
    done = guarded.run(f"--pristine-sqlite-allow={allowed}")
    # The test's module merely calls what opens.
    assert done.status == (1 if direct else 0), done.output


def test_an_installed_package_that_is_allowed(guarded: Guarded) -> None:
    """A library is accused with the place in the project that called it, and can be allowed by its name."""
    guarded.write("lib/site-packages/shelf/__init__.py", "import sqlite3\ndef opens():\n    sqlite3.connect('x.db')\n")
    guarded.write("tests/test_it.py", """
        from shelf import opens

        def test_it():
            opens()
    """)  # fmt: skip
    path = f"{guarded.path}:{guarded.path}/lib/site-packages"
    done = guarded.run(PYTHONPATH=path)
    assert "tests/test_it.py:5 in test_it: opened SQLite database 'x.db'" in done.output
    assert "pristine_sqlite_allow = shelf" in done.output
    assert guarded.run("--pristine-sqlite-allow=shelf", PYTHONPATH=path).status == 0


def test_a_directory_that_is_not_there(guarded: Guarded) -> None:
    """A directory that is to be guarded and is missing is a usage error: nothing would be guarded."""
    guarded.write("tests/test_it.py", "def test_it(): pass\n")
    done = guarded.run("--pristine-sqlite-guard=test")
    assert done.status == 4
    assert f"found: there is no {guarded.path / 'test'}" in done.message()
    assert "mend pristine_sqlite_guard" in done.output


def test_pytest_run_by_a_script(guarded: Guarded) -> None:
    """A script of the project that runs pytest is not taken for the place."""
    guarded.write("run.py", "import sys\n\nimport pytest\n\nsys.exit(pytest.main(sys.argv[1:]))\n")
    guarded.write("site-packages/shelf.py", """
        import sqlite3

        import pytest

        @pytest.fixture
        def shelf():
            return sqlite3.connect("shelf.db")
    """)  # fmt: skip
    guarded.write("tests/test_it.py", "def test_it(shelf): pass\n")
    done = finish(
        subprocess.Popen(
            [sys.executable, "run.py", "-p", "shelf", "-p", "no:randomly", "-p", "no:asyncio"],
            cwd=guarded.path,
            env={**guarded.project.environ, "PYTHONPATH": f"{guarded.path}:{guarded.path / 'site-packages'}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    )
    assert "site-packages/shelf.py:8 in shelf: opened SQLite database 'shelf.db'" in done.output
