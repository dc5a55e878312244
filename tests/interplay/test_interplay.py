"""Every fixture on the layer of its test, in any order, with loops, workers, steps of migrations, and any role."""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from textwrap import dedent

import pytest
from sqlalchemy.engine import URL

from tests.conftest import Project, Server, new_database, new_role
from tests.interplay.conftest import BASELINE, outcomes

MARKS = {"asyncio": 'pytest.mark.asyncio(loop_scope="session")', "anyio": "pytest.mark.anyio"}
LOADED = {
    "asyncio": ("-p", "asyncio", "-o", "asyncio_default_fixture_loop_scope=function"), "anyio": ("-p", "anyio"),
}  # fmt: skip
TESTS = """
import app
import pytest
from loaders import load
from sqlalchemy import func, select, text

FOUND = "{found}"
in_loop = {mark}

@pytest.fixture
def anyio_backend():
    return "asyncio"

def test_engine(postgres_engine, clean_database):
    with postgres_engine.begin() as connection:
        assert app.read(connection) == FOUND
        app.write(connection, "engine")

def test_application(clean_database):
    assert app.names() == FOUND
    app.sign_up("app")

def test_asks_for_nothing():
    assert app.names() == FOUND

def test_fresh(fresh_database):
    with fresh_database.engine.begin() as connection:
        assert app.read(connection) == FOUND
        connection.execute(text("DROP TABLE users"))

def test_fresh_beside_clean(clean_database, fresh_database, postgres_engine):
    app.sign_up("shared")
    with fresh_database.engine.begin() as own, postgres_engine.begin() as shared:
        assert app.read(own) == FOUND
        assert app.read(shared) == FOUND + " shared"

def test_session(postgres_session):
    assert app.read(postgres_session) == FOUND
    app.write(postgres_session, "session")
    postgres_session.commit()
    assert app.names() == FOUND

def test_enters_one_more(postgres_baseline, clean_database, request):
    with postgres_baseline.layer(load("own")):
        assert app.names() == FOUND + " own"
        with request.getfixturevalue("fresh_database").engine.connect() as connection:
            assert app.read(connection) == FOUND + " own"

@in_loop
async def test_async_engine(postgres_async_engine, clean_database):
    async with postgres_async_engine.begin() as connection:
        assert (await connection.execute(app.READ)).scalar_one() == FOUND
        await connection.execute(app.WRITE, {{"name": "async"}})

@in_loop
async def test_async_session(postgres_async_session):
    assert (await postgres_async_session.execute(app.READ)).scalar_one() == FOUND
    await postgres_async_session.execute(app.WRITE, {{"name": "async session"}})
    await postgres_async_session.commit()
    assert app.names() == FOUND
"""
XDIST = ("-p", "xdist", "-n2")
# Those that have most to do with layers, where starting workers or switching takes long.
SOME = ("test_application", "test_fresh", "test_session", "test_async_session")
FOUND = {"test_a": "root s a", "test_b": "root s b", "test_none": "root s"}


def text(url: URL) -> str:
    """A URL as a user writes it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def lay_out(project: Project, plugin: str) -> list[str]:
    """Write modules with a layer each and one without; gives the ids of their tests, shuffled."""
    ids: list[str] = []
    for module, found in FOUND.items():
        names = found.split()
        baseline = BASELINE.format(scope="module", name=names[-1]) if len(names) > 2 else ""
        body = TESTS.format(found=found, mark=MARKS[plugin])
        project.write(f"{module}.py", dedent(baseline) + dedent(body))
        ids += [
            f"{module}.py::{line.split('def ')[1].split('(')[0]}" for line in body.splitlines() if "def test_" in line
        ]
    Random(4712).shuffle(ids)  # noqa: S311 - any order will do
    return ids


@pytest.mark.parametrize(
    ("plugin", "driver", "further"),
    [
        ("asyncio", "asyncpg", ()),
        ("anyio", "psycopg", (*XDIST, "--dist=load")),
        ("asyncio", "psycopg", (*XDIST, "--dist=loadscope")),
    ],
    ids=["alone", "load", "loadscope"],
)
def test_each_fixture_stands_on_the_layer_of_its_test(
    project: Project, server: Server, database: URL, plugin: str, driver: str, further: tuple[str, ...]
) -> None:
    """In any order, with or without workers, each finds the data of its layer, all is proven, and nothing warns."""
    ids = [each for each in lay_out(project, plugin) if not further or each.split("::")[1] in SOME]
    done = project.run(
        "-v", *LOADED[plugin], "--pristine-proof=always", "--pristine-schema-cov", "--pristine-report=report",
        *further, *ids, PRISTINE_ASYNC_DRIVER=driver, TEST_DATABASE_URL=text(database),
    )  # fmt: skip
    assert done.status == 0, done.output
    assert f"{len(ids)} passed" in done.output
    # The layer that a test enters stands on that of its module: there is one for each.
    assert Counter((project.path / "loaded").read_text(encoding="utf-8").split()) <= Counter(s=1, a=1, b=1, own=3)
    told = json.loads(next((project.path / "report").glob("*.json")).read_text(encoding="utf-8"))
    states = {item["key"]: item["state"] for item in told["checklist"]}
    assert states.pop("coverage") == "unknown"
    assert set(states.values()) == {"passed"}, told["checklist"]
    wrote = {test["id"]: [rows for _, rows in test["wrote"]] for test in told["tests"]}
    writing = ("test_engine", "test_application", "test_fresh_beside_clean", "test_async_engine")
    assert wrote == {each: [1] if each.split("::")[1] in writing else [] for each in ids}
    objects = {(each["kind"], each["name"]): each for each in told["schema"]["objects"]}
    # What the application did is not counted in a test's name, and what a copy of a test's own has is not looked at.
    assert objects["table written", "users"]["covered"]
    assert server.ask("SELECT datname FROM pg_database WHERE datname LIKE '%\\_fresh\\_%'") == ""


STEPS = """
    [pytest]
    pythonpath = .
    filterwarnings = error
    pristine_export = DATABASE_URL
    pristine_migrations =
        models: app:metadata
        sql: seeds
        call: filling:fill {url:postgresql}
        command: python filling.py
"""
FILLING = """
    import os

    import psycopg

    def fill(url, name="call"):
        with psycopg.connect(url) as connection:
            connection.execute("INSERT INTO users (name) VALUES (%s)", [name])

    if __name__ == "__main__":
        fill(os.environ["DATABASE_URL"].replace("+psycopg", ""), "command")
"""


def test_layers_on_steps_of_all_kinds(project: Project) -> None:
    """Where models, SQL, a function and a command make the schema, layers, copies and sessions stand on all of it."""
    ids = lay_out(project, "anyio")
    project.write("pytest.ini", STEPS)
    with (project.path / "app.py").open("a", encoding="utf-8") as file:
        file.write(dedent("""
            from sqlalchemy import Column, Integer, MetaData, Table, Text
            metadata = MetaData()
            Table("users", metadata, Column("id", Integer, primary_key=True), Column("name", Text))
        """))  # fmt: skip
    project.write("seeds/1.sql", "INSERT INTO users (name) VALUES ('sql')")
    project.write("filling.py", FILLING)
    for path in project.path.glob("test_*.py"):
        path.write_text(path.read_text(encoding="utf-8").replace('"root ', '"sql call command '), encoding="utf-8")
    some = sorted(each for each in ids if each.split("::")[1] in SOME)
    done = project.run("-v", "-p", "anyio", "--pristine-proof=always", *some)
    assert done.status == 0, done.output
    assert f"{len(some)} passed" in done.output


@pytest.mark.parametrize("attributes", ["CREATEDB", ""], ids=["createdb", "in_place"])
def test_roles_without_superuser(project: Project, server: Server, attributes: str) -> None:
    """They have layers under sessions and loops, too; one that may make no databases is refused copies, and no more."""
    lay_out(project, "anyio")
    tests = [f"test_a.py::{name}" for name in (*SOME, "test_enters_one_more", "test_engine")]
    tests += ["test_none.py::test_async_engine", "test_none.py::test_session"]
    with new_role(server, attributes) as role, new_database(server, owner=str(role.username)) as url:
        done = project.run(
            "-v", "-p", "anyio", "--pristine-proof=always", "--pristine-keep-failed=1", *tests,
            TEST_DATABASE_URL=text(role.set(database=url.database)),
        )  # fmt: skip
    refused = {} if attributes else {"test_a.py::test_fresh": "ERROR", "test_a.py::test_enters_one_more": "FAILED"}
    assert outcomes(done) == dict.fromkeys(tests, "PASSED") | refused, done.output
    if refused:
        assert f"found:   the role '{role.username}', which may make no databases: tests work in" in done.output
        assert f'to do:   as a superuser: ALTER ROLE "{role.username}" CREATEDB' in done.output
        assert "databases of failed tests are not kept: the role may make no other databases" in done.message()
