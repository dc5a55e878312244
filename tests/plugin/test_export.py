"""`pristine_export`: the application finds the worker's database where it reads its settings, before it is imported."""

from __future__ import annotations

import pytest

from tests.conftest import Project

APP = """
    import os

    from sqlalchemy import create_engine, text

    URL = os.environ["DATABASE_URL"]
    engine = create_engine(URL, pool_pre_ping=True)

    def sign_up(name):
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES (:name)"), {"name": name})
            return connection.execute(text("SELECT count(*) FROM users")).scalar_one()
"""
CONFTEST = """
    import app
"""
TESTS = """
    import app
    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_signs_up(clean_database, number):
        assert app.sign_up("ada") == 2

    def test_is_the_same(postgres_url, postgres_engine):
        assert app.URL == postgres_engine.url.set(host="localhost").render_as_string(hide_password=False)
"""


@pytest.fixture
def shop(project: Project) -> Project:
    """A project whose conftest.py imports an application with an engine of its own."""
    project.write("pytest.ini", "[pytest]\npristine_export = DATABASE_URL\n")
    project.write("app.py", APP)
    project.write("conftest.py", CONFTEST)
    project.write("test_users.py", TESTS)
    return project


def test_the_application_has_the_database(shop: Project) -> None:
    """An engine that a conftest.py makes at its import works in the database that is restored."""
    run = shop.run()
    assert run.status == 0, run.output
    assert "exported as DATABASE_URL" in run.output


def test_each_worker_has_its_own(shop: Project) -> None:
    """Under pytest-xdist each worker's application is told of the worker's database."""
    run = shop.run("-p", "xdist", "-n", "2", "-v")
    assert run.status == 0, run.output
