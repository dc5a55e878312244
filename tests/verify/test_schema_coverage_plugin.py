"""Schema coverage in a run of pytest."""

from __future__ import annotations

import json

from tests.conftest import Project

_CONFTEST = """
    import json
    from pathlib import Path

    import pytest

    from pytest_pristine.plugin import recording

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(config):
        Path("process.json").write_text(json.dumps(recording.of_process(config).schema))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(item):
        yield
        Path(item.name + ".json").write_text(json.dumps(recording.of_test(item).covered))
"""
_TESTS = """
    import os, signal
    import pytest
    from sqlalchemy import text
    from sqlalchemy.exc import IntegrityError

    def test_one(postgres_engine, clean_database):
        with pytest.raises(IntegrityError), postgres_engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES (NULL)"))

    def test_changes_the_schema(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(text("CREATE TABLE other (id int)"))

    def test_reads(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(text("SELECT * FROM users"))

    def test_nothing(clean_database):
        pass
"""


def _laid_out(project: Project) -> Project:
    project.write("conftest.py", _CONFTEST)
    project.write("test_users.py", _TESTS)
    return project


def _read(project: Project, name: str) -> object:
    return json.loads((project.path / f"{name}.json").read_text(encoding="utf-8"))


def test_each_test_and_the_process_have_what_they_touched(project: Project) -> None:
    """Also after the database was made anew; and a test that does nothing touches nothing."""
    run = _laid_out(project).run("--pristine-schema-cov")
    assert run.status == 0, run.output
    process = _read(project, "process")
    assert isinstance(process, dict)
    objects = process["objects"]

    def named(numbers: object) -> list[str]:
        assert isinstance(numbers, list)
        return [" ".join(objects[number]).strip() for number in numbers]

    assert named(_read(project, "test_one")) == ["not null name users"]
    assert named(_read(project, "test_reads")) == ["table read users"]
    assert named(_read(project, "test_nothing")) == []
    assert named(process["touched"]) == ["table read users", "not null name users"]
    assert "index users_pkey users" in named(list(range(len(objects))))
    assert process["untold"] == []


def test_without_it_nothing_is_observed(project: Project) -> None:
    """It is measured where it is asked for."""
    run = _laid_out(project).run()
    assert run.status == 0, run.output
    assert _read(project, "process") == {}
    assert _read(project, "test_reads") == []


def test_sessions_stay(project: Project) -> None:
    """To ask the sessions of the engine what they counted ends none: each test works in that of the one before."""
    project.write(
        "test_sessions.py",
        """
        import pytest

        pids = set()

        @pytest.mark.parametrize("number", range(4))
        def test_works(postgres_engine, clean_database, number):
            with postgres_engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO users (name) VALUES ('Ada')")
                pids.add(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
            assert len(pids) == 1
        """,
    )
    run = project.run("--pristine-schema-cov")
    assert run.status == 0, run.output
