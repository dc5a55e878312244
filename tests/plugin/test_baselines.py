"""Data on top of the migrations is what tests are restored to, in whatever order and by whichever fixture they come."""

from __future__ import annotations

import re

from tests.conftest import Project, Run

PLAIN = ("-p", "no:randomly")
LOADERS = """
import os

from sqlalchemy import text


def note(word):
    with open("log", "a") as log:
        log.write(f"{word} {os.environ.get('PYTEST_XDIST_WORKER', 'main')}\\n")


def load(name):
    def load_names(engine):
        note(name)
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES (:name)"), {"name": name})
    return load_names


def names(engine):
    with engine.begin() as connection:
        found = connection.execute(text("SELECT string_agg(name, ' ' ORDER BY id) FROM users")).scalar_one()
        connection.execute(text("INSERT INTO users (name) VALUES ('written')"))
    return found
"""
BASELINE = """
    import pytest
    from loaders import load, names


    @pytest.fixture(scope="{scope}")
    def postgres_baseline(postgres_baseline):
        with postgres_baseline.layer(load("{name}")) as baseline:
            yield baseline

"""
IMPORT = "\n    from loaders import names\n"
TESTS = """
    def test_first(postgres_engine, clean_database):
        assert names(postgres_engine) == "{found}"

    def test_second(postgres_engine, clean_database):
        assert names(postgres_engine) == "{found}"
"""
PYTEST_INI = "[pytest]\npythonpath = .\n"


def lay_out(project: Project, **layers: str) -> None:
    """Write a package for each layer of a session, and a module for each of a module: `a_b="session a, module b"`."""
    (project.path / "test_users.py").unlink()
    project.write("pytest.ini", PYTEST_INI)
    (project.path / "loaders.py").write_text(LOADERS, encoding="utf-8")
    for path, found in layers.items():
        names = found.split()
        head = (
            BASELINE.format(scope="module", name=names[-1]) if len(names) > 1 else "\n    from loaders import names\n"
        )
        project.write(f"{path.replace('__', '/')}.py", head + TESTS.format(found=found))


def log(project: Project) -> list[str]:
    """What was loaded since it was asked last, without who did."""
    path = project.path / "log"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted(line.split()[0] for line in lines)


def outcomes(done: Run) -> dict[str, str]:
    """The outcome of each test, as -v prints them."""
    return dict(re.findall(r"^(\S+::\w+) (PASSED|FAILED|ERROR)", done.output, re.MULTILINE))


def test_layers_of_modules(project: Project) -> None:
    """Each module has its own data, one without has none, and each is loaded once for good."""
    lay_out(project, test_a="root a", test_b="root b", test_c="root")
    done = project.run(*PLAIN, "-v")
    assert set(outcomes(done).values()) == {"PASSED"}, done.output
    assert (done.status, len(outcomes(done)), log(project)) == (0, 6, ["a", "b"])
    again = project.run(*PLAIN, "test_c.py", "test_b.py", "test_a.py")
    assert (again.status, log(project)) == (0, []), again.output
