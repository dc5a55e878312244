"""Tests that have time frozen: what waits for a deadline after them does not wait for ever."""

from __future__ import annotations

import re

from sqlalchemy.engine import URL

from tests.conftest import Project, Server

# As freezegun does: functions that stand still take the place of those of the module `time`, there and wherever they,
# or the class datetime, are found under a name. The modules that pytest and threads wait in, it leaves out.
_CONFTEST = """
    import datetime
    import sys
    import time

    import pytest

    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime(2020, 1, 1, tzinfo=tz)

    @pytest.fixture
    def frozen():
        taken = {id(function): lambda: 1577836800.0 for function in (time.monotonic, time.perf_counter, time.time)}
        taken[id(datetime.datetime)] = Frozen
        modules = [time, *(module for name, module in sys.modules.items() if name.startswith("pytest_pristine"))]
        with pytest.MonkeyPatch.context() as patch:
            for module in modules:
                for name, value in list(vars(module).items()):
                    if id(value) in taken:
                        patch.setattr(module, name, taken[id(value)])
            yield
"""
_TESTS = """
    import time

    import psycopg
    import pytest

    kept = []

    def connect(url):
        text = url.set(drivername="postgresql").render_as_string(hide_password=False)
        kept.append(psycopg.connect(text))
        return kept[-1]

    def test_a_session_stays(frozen, fresh_database):
        connect(fresh_database.url).execute("SELECT 1")

    def test_a_transaction_stays(frozen, clean_database, postgres_url):
        connect(postgres_url).execute("INSERT INTO users (name) VALUES ('ada')")

    def test_a_lock_stays(frozen, clean_database, postgres_url):
        connect(postgres_url).execute("LOCK TABLE users")

    def test_fails(frozen, clean_database):
        assert time.monotonic() == time.monotonic() + 1
"""


def test_waits_end_while_time_is_frozen(project: Project, server: Server, database: URL) -> None:
    """What frozen tests leave is waited for no longer than otherwise, and told; what is kept has the real date."""
    project.write("conftest.py", _CONFTEST)
    project.write("test_users.py", _TESTS)
    done = project.run(
        "-p", "no:randomly", "--pristine-restore-timeout=0.5", "--pristine-keep-failed=1", "test_users.py",
        TEST_DATABASE_URL=database.render_as_string(hide_password=False),
    )  # fmt: skip
    assert "1 failed, 3 passed, 2 warnings, 1 error" in done.output, done.output
    assert "test_a_session_stays left in its fresh_database a connection in a transaction" in done.message()
    assert "left an open transaction of the session" in done.message()
    assert "sought:  to put the database back, for 0.5 s" in done.output
    kept = re.search(r"^kept +test_users.py::test_fails: .*?(pristine_\w+_failed_\w+)", done.output, re.MULTILINE)
    assert kept is not None, done.output
    comment = server.ask(f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{kept[1]}'")
    server.ask(f"DROP DATABASE {kept[1]}")
    assert '"since": "20' in comment
    assert '"since": "2020' not in comment
