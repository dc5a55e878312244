"""What a run publishes: the report, the summary of a step on GitHub, and the properties in JUnit's format."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

from tests.conftest import CALLED, VERSION, Project, Server, new_role
from tests.verify.conftest import Tests

SUITE = """
    def test_writes(postgres_engine, clean_database):
        do(postgres_engine, "INSERT INTO users (name) VALUES ('ada')", "UPDATE users SET name = name || '!'")

    def test_repeats(postgres_engine, clean_database):
        for number in range(12):
            with postgres_engine.begin() as connection:
                connection.execute(text("SELECT name FROM users WHERE id = :id"), {"id": number}).all()

    def test_leaves(postgres_engine, clean_database):
        global taken
        taken = postgres_engine.connect()

    def test_fails(postgres_engine, clean_database):
        do(postgres_engine, "INSERT INTO orders DEFAULT VALUES")
        assert 1 == 2

    def test_plain():
        pytest.skip("it is Sunday")
"""


def report(project: Project) -> dict[str, Any]:
    """The report as data."""
    found: dict[str, Any] = json.loads((project.path / "build/report/report.json").read_text(encoding="utf-8"))
    return found


def test_the_report(tests: Tests, shop: Project) -> None:
    """A page and a JSON file tell what each test did, where the time went, and what the run proved."""
    run = tests(SUITE, "--pristine-report=build/report", "--pristine-keep-failed=1")
    assert f"\nreport: {shop.path}/build/report/index.html\n" in run.output
    assert "<title>" in (shop.path / "build/report/index.html").read_text(encoding="utf-8")
    found = report(shop)
    assert found["project"] == "shop"
    assert found["server"]["version"] == VERSION
    assert found["server"]["described"] == CALLED
    known = {test["id"].split("::")[1]: test for test in found["tests"]}
    assert {name: test["outcome"] for name, test in known.items()} == {
        "test_writes": "passed", "test_repeats": "passed", "test_leaves": "passed", "test_fails": "failed",
        "test_plain": "skipped",
    }  # fmt: skip
    assert known["test_fails"]["message"] == "assert 1 == 2"
    assert "it is Sunday" in known["test_plain"]["message"]
    # Its database was kept, and not restored.
    assert [found["tables"][place] for place, _ in known["test_fails"]["wrote"]] == ["orders"]
    wrote = {found["tables"][place]: rows for place, rows in known["test_writes"]["wrote"]}
    assert list(wrote) == ["users"]
    assert known["test_writes"]["statements"] == 2
    (repeated,) = known["test_repeats"]["repeated"]
    shape = found["shapes"][repeated["shape"]]
    assert (repeated["count"], shape["sql"]) == (12, "SELECT name FROM users WHERE id = %(id)s")
    assert shape["tests"] == 1
    assert found["tests"][shape["slowest_test"]]["id"].endswith("test_repeats")
    (leak,) = found["leaks"]
    assert leak["test"].endswith("test_leaves")
    assert leak["what"].startswith("a connection of postgres_engine, taken at ")
    assert [kept["test"].split("::")[1] for kept in found["kept"]] == ["test_fails"]
    states = {item["key"]: item["state"] for item in found["checklist"]}
    assert states["postgres"] == states["pristine"] == states["migrations"] == states["skips"] == "passed"
    assert states["connections"] == "failed"
    assert states["coverage"] == "unknown"
    time = found["time"]
    assert all(time[part] > 0 for part in ("total", "start", "migrations", "clone", "restore", "call"))
    assert sum(time[part] for part in time if part != "total") <= time["total"]


def test_with_workers(tests: Tests, shop: Project) -> None:
    """Under pytest-xdist the report has the tests of all workers, and what the controller did for them."""
    tests(SUITE, "--pristine-report=build/report", "-p", "xdist", "-n2")
    found = report(shop)
    assert found["workers"] == 2
    assert len(found["tests"]) == 5
    assert {test["worker"] for test in found["tests"] if test["statements"]} <= {"gw0", "gw1"}
    assert all(found["time"][part] > 0 for part in ("start", "migrations", "clone", "restore"))


def test_only_where_it_is_wanted(tests: Tests, shop: Project) -> None:
    """Nothing is written unless it is asked for, nor by a run that used no fixture of ours."""
    tests(SUITE)
    tests("def test_plain(): pass", "--pristine-report=build/report")
    assert not (shop.path / "build").exists()


def test_a_report_that_cannot_be_written(tests: Tests, shop: Project) -> None:
    """A report that cannot be written is told, and fails nothing else."""
    (shop.path / "build").write_text("a file", encoding="utf-8")
    run = tests(SUITE, "--pristine-report=build/report")
    assert "\nno report: " in run.output
    assert "1 failed, 3 passed, 1 skipped" in run.output


def test_the_summary_of_a_step(tests: Tests, tmp_path: Path) -> None:
    """On GitHub a summary is added to what the step has said already."""
    summary = tmp_path / "summary"
    summary.write_text("before\n", encoding="utf-8")
    tests(SUITE, GITHUB_STEP_SUMMARY=str(summary))
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert "real Postgres" in text
    assert text.index("no connection left open") < text.index("real Postgres")


def test_the_properties(tests: Tests, shop: Project) -> None:
    """In JUnit's format each item of the checklist is a property of the suite."""
    tests(SUITE, "--junitxml=junit.xml")
    (suite,) = ET.parse(shop.path / "junit.xml").getroot().iter("testsuite")  # noqa: S314 - pytest wrote it
    known = {each.attrib["name"]: each.attrib["value"] for each in suite.iter("property")}
    assert known["pristine.item.postgres"] == f"passed: {CALLED}"
    assert known["pristine.item.connections"].startswith("failed: 1 left")
    assert float(known["pristine.time.restore"]) > 0
    tests("def test_plain(): pass", "--junitxml=junit.xml")
    assert "pristine" not in (shop.path / "junit.xml").read_text(encoding="utf-8")


def test_no_password(tests: Tests, shop: Project, server: Server, tmp_path: Path) -> None:
    """Nothing that is published holds the server's password, whatever a test runs, leaves and says."""
    with new_role(server, "CREATEDB") as role:
        with server.connect() as client:
            client.execute(f'CREATE DATABASE "{role.username}_shop" OWNER "{role.username}"')  # type: ignore[call-overload]
        url = role.set(drivername="postgresql", database=f"{role.username}_shop").render_as_string(hide_password=False)
        run = tests(
            """
    def test_fails(postgres_url, postgres_engine, clean_database):
        global left
        for _ in range(10):
            do(postgres_engine, f"SELECT '{postgres_url.password}'")
        left = psycopg.connect(address(postgres_url))
        left.execute(f"SELECT '{postgres_url.password}'")
        raise AssertionError(postgres_url.password)
    """,
            *("--pristine-report=build/report", "--junitxml=junit.xml", "-v"),
            GITHUB_STEP_SUMMARY=str(tmp_path / "summary"),
            TEST_DATABASE_URL=url,
        )
        assert run.status == 1
        page = shop.path / "build/report"
        files = (page / "report.json", page / "index.html", shop.path / "junit.xml", tmp_path / "summary")
        texts = [run.output, *(each.read_text(encoding="utf-8") for each in files)]
        assert [text for text in texts if str(role.password) in text] == []
        assert "last query: SELECT '***'" in run.output
