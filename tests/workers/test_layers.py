"""Layers under pytest-xdist: loaded once for all workers, and each test finds its own, however tests are given out."""

from __future__ import annotations

from collections import Counter
from textwrap import dedent

import pytest

from tests.conftest import Project

_LOADERS = """
    import os
    import time

    from sqlalchemy import text

    def load(name):
        def load_name(engine):
            with open("log", "a") as log:
                log.write(name + chr(10))
            time.sleep(0.3)  # all others come meanwhile
            with engine.begin() as connection:
                connection.execute(text("INSERT INTO users (name) VALUES (:name)"), {"name": name})
        return load_name
"""
_BASELINE = """
    import pytest
    from loaders import load
    from sqlalchemy import text


    @pytest.fixture(scope="{scope}")
    def postgres_baseline(postgres_baseline):
        with postgres_baseline.layer(load("{name}")) as baseline:
            yield baseline
"""
_TESTS = """

    @pytest.mark.parametrize("number", range(6))
    def test_finds(postgres_engine, clean_database, number):
        with postgres_engine.begin() as connection:
            found = connection.execute(text("SELECT string_agg(name, ' ' ORDER BY id) FROM users")).scalar_one()
            connection.execute(text("DELETE FROM users"))
        assert found == "root s {name}"
"""


@pytest.mark.parametrize("dist", ["load", "worksteal"])
def test_layers_of_many_workers(project: Project, dist: str) -> None:
    """Three workers that need the layers at the same time load each of them once."""
    (project.path / "test_users.py").unlink()
    project.write("pytest.ini", "[pytest]\npythonpath = .\n")
    # Of this test alone: what another has loaded is kept.
    project.write("loaders.py", f"{_LOADERS}\n    # {project.path}\n")
    project.write("conftest.py", _BASELINE.format(scope="session", name="s"))
    for name in "abc":
        project.write(f"test_{name}.py", dedent(_BASELINE.format(scope="module", name=name)) + dedent(
            _TESTS.format(name=name)
        ))  # fmt: skip
    done = project.run("-p", "xdist", "-n", "3", "--dist", dist, "--pristine-proof=always")
    assert (done.status, "18 passed" in done.output) == (0, True), done.output
    loaded = (project.path / "log").read_text(encoding="utf-8").split()
    assert Counter(loaded) == {"s": 1, "a": 1, "b": 1, "c": 1}
