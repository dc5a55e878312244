"""`fresh_database`: a database of one test alone, as pytest's user meets it."""

from __future__ import annotations

import pytest

from tests.conftest import Project

TESTS = """
    import pytest
    from sqlalchemy import text

    names = set()

    @pytest.mark.parametrize("number", range(6))
    def test_ddl(fresh_database, number):
        assert fresh_database.name not in names
        assert fresh_database.url.database == fresh_database.name
        names.add(fresh_database.name)
        with fresh_database.engine.begin() as connection:
            assert connection.execute(text("SELECT name FROM users")).all() == [("root",)]
            assert connection.execute(text("SELECT current_database()")).scalar_one() == fresh_database.name
            connection.execute(text("DROP TABLE users"))

    def test_shared(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            assert connection.execute(text("SELECT current_database()")).scalar_one() not in names
            assert connection.execute(text("SELECT name FROM users")).all() == [("root",)]
"""


def test_each_test_has_a_database_of_its_own(project: Project) -> None:
    """Each test is given another database as the migrations left it, whatever the one before did to its own."""
    project.write("test_users.py", TESTS)
    run = project.run("-q")
    assert run.status == 0, run.output
    assert "7 passed" in run.output
    assert "Warning" not in run.output
