"""What is kept of tests that fail on a layer, and what their neighbours find."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from textwrap import dedent

from tests.conftest import Project, Run
from tests.interplay.conftest import BASELINE, outcomes

FAILING = """
import app

def test_fails(postgres_engine, clean_database):
    app.sign_up("ada")
    assert False

def test_finds(postgres_session):
    assert app.read(postgres_session) == "root s a"

def test_fails_in_a_session(postgres_session):
    app.write(postgres_session, "eve")
    postgres_session.commit()
    assert False

def test_fails_in_a_copy(fresh_database):
    with fresh_database.engine.begin() as connection:
        app.write(connection, "bob")
    assert False

def test_finds_it_still(fresh_database, clean_database):
    with fresh_database.engine.connect() as connection:
        assert app.names() == app.read(connection) == "root s a"
"""


def pristine(project: Project, *words: str) -> Run:
    """Run a command in a project."""
    program = str(Path(project.python).parent / "pristine")
    done = subprocess.run(
        [program, *words], cwd=project.path, env=dict(project.environ), capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    return Run(done.returncode, done.stdout + done.stderr)


def test_databases_of_failed_tests_on_a_layer(project: Project) -> None:
    """Each that is kept holds the layer and what its test wrote; psql opens the last, and others find the layer."""
    project.write("test_a.py", dedent(BASELINE.format(scope="module", name="a")) + FAILING)
    project.write("test_none.py", "import app\n\ndef test_none(clean_database):\n    assert app.names() == 'root s'\n")
    done = project.run("-v", "--pristine-keep-failed=3", "test_a.py", "test_none.py")
    assert [name.split("::")[1] for name, outcome in outcomes(done).items() if outcome == "FAILED"] == [
        "test_fails", "test_fails_in_a_session", "test_fails_in_a_copy"
    ], done.output  # fmt: skip
    assert list(outcomes(done).values()).count("PASSED") == 3
    query = "SELECT string_agg(name, ' ' ORDER BY id) FROM users"
    found = [
        pristine(project, "psql", name, "--", "-XAtc", query).output.splitlines()[0]
        for name in re.findall(r"^kept .*?(pristine_\w+_failed_\w+)", done.output, re.MULTILINE)
    ]
    last = pristine(project, "psql", "--last-failed", "--", "-XAtc", query)
    assert [*found, last.output.splitlines()[0]] == ["root s a ada", "root s a eve", "root s a bob"], (
        done.output + last.output
    )
