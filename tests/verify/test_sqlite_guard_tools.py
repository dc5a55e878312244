"""What coverage.py, plugins of pytest and editors do with SQLite is not the test's."""

from __future__ import annotations

import pytest

from tests.verify.conftest import Guarded

PASSING = """
    def test_it():
        pass
"""


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")])
def test_coverage(guarded: Guarded, workers: tuple[str, ...]) -> None:
    """coverage.py writes to SQLite while tests run, between them and at the end of their processes, unaccused."""
    guarded.write(".coveragerc", """
        [run]
        branch = true
        parallel = true
        patch = subprocess, _exit
    """)  # fmt: skip
    guarded.write("shop.py", "def sells():\n    return 1\n")
    guarded.write("tests/test_it.py", """
        import os
        import subprocess
        import sys

        import coverage

        from shop import sells

        def test_it():
            assert sells()
            coverage.Coverage.current().save()
            subprocess.run([sys.executable, "-c", "import shop; shop.sells()"], check=True)

        def test_fork():
            child = os.fork()
            if child == 0:
                sells()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
    """)  # fmt: skip
    done = guarded.run("-p", "pytest_cov", "--cov=shop", "--cov-context=test", *workers)
    assert done.status == 0, done.output
    assert "2 passed" in done.output
    assert "shop.py" in done.output
    assert guarded.used() == []
    assert list(guarded.path.glob(".coverage*"))


_PLUGIN = """
    import sqlite3
    import threading

    import pytest

    def note():
        sqlite3.connect("timings.db").close()

    def pytest_collection_finish():
        note()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call():
        note()
        yield
        thread = threading.Thread(target=note)
        thread.start()
        thread.join()

    class Further:
        @pytest.hookimpl
        def pytest_runtest_setup(self):
            note()

        @pytest.hookimpl
        def pytest_fixture_setup(self):
            note()

        def pytest_runtest_makereport(self):
            note()

    def pytest_configure(config):
        config.pluginmanager.register(Further())
"""


@pytest.mark.parametrize("at", ["timings.py", "site-packages/timings/plugin.py"])
def test_a_plugin_that_uses_sqlite(guarded: Guarded, at: str) -> None:
    """A plugin that keeps something in SQLite by its hooks and threads is not accused, wherever it lies."""
    guarded.write(at, _PLUGIN)
    guarded.write("tests/test_it.py", """
        import pytest

        @pytest.fixture
        def thing():
            pass

        def test_it(thing):
            pass
    """)  # fmt: skip
    installed = at.startswith("site")
    name = "timings.plugin" if installed else "timings"
    done = guarded.run("-p", name, PYTHONPATH=f"{guarded.path}:{guarded.path / 'site-packages'}")
    assert done.status == 0, done.output
    assert (guarded.path / "timings.db").exists()
    assert guarded.used() == []


@pytest.mark.parametrize("at", ["timings.py", "site-packages/timings/plugin.py"])
def test_a_fixture_of_a_plugin(guarded: Guarded, at: str) -> None:
    """What a plugin's fixture opens is opened for the test."""
    guarded.write(at, """
        import sqlite3

        import pytest

        @pytest.fixture
        def database():
            return sqlite3.connect("shop.db")
    """)  # fmt: skip
    guarded.write("tests/test_it.py", "def test_it(database): pass\n")
    name = "timings.plugin" if "/" in at else "timings"
    done = guarded.run("-p", name, PYTHONPATH=f"{guarded.path}:{guarded.path / 'site-packages'}")
    assert done.status == 1, done.output
    assert f"{at}:8 in database: opened SQLite database 'shop.db'" in done.output


def test_a_hook_of_the_suite(guarded: Guarded) -> None:
    """What a conftest.py opens in a hook, or a plugin that runs tests in its own has them open, is the test's."""
    guarded.write("tests/conftest.py", """
        import sqlite3

        import pytest

        def pytest_runtest_setup(item):
            if item.name == "test_hook":
                sqlite3.connect("shop.db")
    """)  # fmt: skip
    guarded.write("runs.py", """
        import asyncio

        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_pyfunc_call(pyfuncitem):
            asyncio.run(pyfuncitem.obj())
            return True
    """)  # fmt: skip
    guarded.write("tests/test_it.py", """
        import sqlite3

        async def test_hook():
            pass

        async def test_runs():
            sqlite3.connect("other.db")
    """)  # fmt: skip
    done = guarded.run("-p", "runs")
    assert "1 failed, 1 error" in done.output
    assert sorted(guarded.used()) == [
        "tests/conftest.py:8 in pytest_runtest_setup: opened SQLite database 'shop.db'",
        "tests/test_it.py:8 in test_runs: opened SQLite database 'other.db'",
    ]


def test_hooks_of_an_application(guarded: Guarded) -> None:
    """An application whose plugins pluggy calls is no plugin of pytest."""
    guarded.write("shop.py", """
        import sqlite3

        import pluggy

        spec, impl = pluggy.HookspecMarker("shop"), pluggy.HookimplMarker("shop")

        class Spec:
            @spec
            def opens(self): ...

        class Plugin:
            @impl
            def opens(self):
                sqlite3.connect("shop.db")

        manager = pluggy.PluginManager("shop")
        manager.add_hookspecs(Spec)
        manager.register(Plugin())
    """)  # fmt: skip
    guarded.write("tests/test_it.py", """
        from shop import manager

        def test_it():
            manager.hook.opens()
    """)  # fmt: skip
    done = guarded.run()
    assert "shop.py:15 in " in done.output
    assert "opened SQLite database 'shop.db'" in done.output


@pytest.mark.parametrize(
    "module", ["_pydevd_bundle/pydevd_comm.py", "debugpy/server.py", "vscode_pytest/__init__.py", "IPython/history.py"]
)
def test_an_editor(guarded: Guarded, module: str) -> None:
    """A debugger's thread, or its tracing in the test's own, is not accused; it lies in the editor's directories."""
    guarded.write(f"../editor/{module}", """
        import sqlite3
        import sys
        import threading

        def opens(*_):
            sqlite3.connect("breakpoints.db").close()

        def traces(frame, event, argument):
            if frame.f_code.co_name == "test_it":
                opens()

        thread = threading.Thread(target=opens)
        thread.start()
        thread.join()
    """)  # fmt: skip
    name = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    guarded.write("tests/test_it.py", f"""
        import sys

        def test_it():
            import {name} as editor
            before = sys.gettrace()
            sys.settrace(editor.traces)
            exec("def test_it(): pass\\ntest_it()")
            sys.settrace(before)
    """)  # fmt: skip
    done = guarded.run(PYTHONPATH=f"{guarded.path}:{guarded.path.parent / 'editor'}")
    assert done.status == 0, done.output
    assert (guarded.path / "breakpoints.db").exists()


def test_a_package_of_the_project_called_coverage(guarded: Guarded) -> None:
    """A package of the project is not taken for coverage.py because of its name."""
    guarded.write("coverage/__init__.py", "import sqlite3\ndef opens():\n    sqlite3.connect('shop.db')\n")
    guarded.write("tests/test_it.py", """
        from coverage import opens

        def test_it():
            opens()
    """)  # fmt: skip
    assert "coverage/__init__.py:3 in opens: opened SQLite" in guarded.run().output
