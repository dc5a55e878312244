"""Names of databases, and the marks that make them ours."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from pytest_pristine.postgres import databases, marks, names
from pytest_pristine.postgres.marks import Mark

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from tests.conftest import Server

LONG = ["a" * 200, "é" * 200, "a" + "é" * 200, "数据库" * 40, "🐘" * 40, "aaa" + "🐘" * 40]


@pytest.mark.parametrize("base", LONG)
@pytest.mark.parametrize("worker", ["main", "gw0", "gw1234", "a worker with a very long name"])
def test_a_clone_keeps_run_and_worker(base: str, worker: str) -> None:
    """However long the base is, the name fits into 63 bytes, is whole characters, and ends with run and worker."""
    name = names.clone(base, "0123abcd", worker)
    assert len(name.encode()) <= 63
    assert name.endswith(f"_0123abcd_{names.label(worker)}")
    assert base.startswith(name.removesuffix(f"_0123abcd_{names.label(worker)}"))


@pytest.mark.parametrize("base", LONG)
def test_clones_of_two_workers_differ_on_the_server(server: Server, base: str) -> None:
    """Postgres cuts names after 63 bytes without a word; ours reach it whole, so that two never become one."""
    made = [names.clone(base, "0123abcd", worker) for worker in ("gw0", "gw1")]
    with server.connect() as connection:
        for name in made:
            (kept,) = connection.execute("SELECT %s::name::text", [name]).fetchone() or ("",)
            assert kept == name
    assert len(set(made)) == 2


def test_a_short_base_is_kept_whole() -> None:
    """A base that fits is not shortened."""
    assert names.clone("app_test", "0123abcd", "main") == "app_test_0123abcd_main"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("My-Project", "my_project"),
        ("backend", "backend"),
        ("été", "t"),
        ("数据库", "project"),
        ("", "project"),
        ("x" * 99, "x" * 20),
        ("  a  b  ", "a_b"),
    ],
)
def test_label(text: str, wanted: str) -> None:
    """A label is short ASCII that needs no quoting, whatever the directory is called."""
    assert names.label(text) == wanted


def test_template_name_fits() -> None:
    """The name of a template is within the limit for any project."""
    name = names.template("é" * 300, names.digest("x"))
    assert re.fullmatch(r"pristine_[a-z0-9_]+_[0-9a-f]{12}", name)
    assert len(name.encode()) <= 63


def test_digest_tells_parts_apart() -> None:
    """Two lists of texts that join to the same text have different digests."""
    assert names.digest("ab", "c") != names.digest("a", "bc")
    assert names.digest("a") == names.digest("a")


def test_scratch_names_differ() -> None:
    """Nobody gets a scratch name twice."""
    assert len({names.scratch() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "mark",
    [
        Mark(marks.TARGET, run="", project=""),
        Mark(marks.CLONE, run="0123abcd", project="app", fingerprint="0123456789ab"),
        Mark(marks.TEMPLATE, "r", "p", "f", {"src/a.py": "1", 'it\'s "quoted" \\ {} %s': "2", "é\n": "3"}),
    ],
    ids=lambda mark: mark.kind,
)
def test_a_mark_survives_the_server(server: Server, database: URL, mark: Mark) -> None:
    """What was written into the COMMENT is read back the same, whatever characters it has."""
    name = str(database.database)
    with server.connect() as connection:
        databases.set_mark(connection, name, mark)
        found = databases.find(connection, name)
    assert found is not None
    assert found.mark == mark
    comment = server.ask(f"SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'")
    assert marks.read(comment) == mark


@pytest.mark.parametrize(
    "comment",
    [
        None,
        "",
        "the production database",
        "pytest-pristine",
        "not pytest-pristine: {}",
        " pytest-pristine: {}",
        "Pytest-Pristine: {}",
        '{"kind": "clone"}',
    ],
)
def test_a_foreign_comment_is_no_mark(server: Server, database: URL, comment: str | None) -> None:
    """A comment that somebody else wrote makes no database ours, not even one that mentions us."""
    name = str(database.database)
    with server.connect() as connection:
        statement = sql.SQL("COMMENT ON DATABASE {} IS {}")
        connection.execute(statement.format(sql.Identifier(name), sql.Literal(comment)))
        assert marks.read(comment) is None
        assert databases.find(connection, name) is None
        assert name not in {found.name for found in databases.ours(connection)}


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"kind": "clone"}', '{"kind": 1, "of": "the future"}', "{"])
def test_a_mark_of_another_format_is_ours(text: str) -> None:
    """A mark that a later version wrote is still a mark, of a kind about which nothing is assumed."""
    assert marks.read(f"pytest-pristine: {text}") == Mark(kind="unknown", run="", project="")
