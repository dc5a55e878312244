"""Schema coverage of whole runs: what the user sees, and what a threshold does."""

from __future__ import annotations

import json

from tests.conftest import Project, Run
from tests.verify.conftest import Tests
from tests.verify.test_checklist import block

SUITE = """
    def test_writes(postgres_engine, clean_database):
        do(postgres_engine, "INSERT INTO users (name) VALUES ('ada')")

    def test_provokes(postgres_engine, clean_database):
        with pytest.raises(Exception):
            do(postgres_engine, "INSERT INTO users (name) VALUES ('root')")
"""
UNCLEAN = """
    def test_unclean(postgres_engine):
        do(postgres_engine, "SELECT * FROM orders")

    def test_after(postgres_engine, clean_database):
        pass
"""


def line(run: Run) -> str:
    """The line of the summary about the schema."""
    (found,) = (each for each in block(run) if "schema coverage" in each or "of the schema" in each)
    return found


def test_a_line_of_the_summary(tests: Tests) -> None:
    """Measured without a threshold, what was touched is told in a line, and fails nothing."""
    run = tests(SUITE, "--pristine-schema-cov")
    assert run.status == 0, run.output
    # Of users: the table written to, its two indexes asked or not, name unique.
    assert line(run).startswith("schema coverage: ")
    assert line(run).endswith(" %")
    assert "schema coverage" not in tests(SUITE).output


def test_a_threshold(tests: Tests) -> None:
    """A threshold that is not reached fails the run, strict or not, and names what was missed; another does not."""
    run = tests(SUITE, "--pristine-schema-cov-fail-under=100", "-v")
    assert run.status == 1
    assert line(run).startswith("FAILED    the tests touch 100 % of the schema: ")
    missed = [each.strip() for each in block(run)]
    assert "table written orders" in missed
    assert not any(each.startswith("unique users_name_key") for each in missed)
    low = tests(SUITE, "--pristine-schema-cov-fail-under=1")
    assert low.status == 0, low.output
    assert line(low).startswith("ok        the tests touch 1 % of the schema: ")


def covered(project: Project) -> dict[str, set[str]]:
    """What each test touched, by the report."""
    report = json.loads((project.path / "report/report.json").read_text(encoding="utf-8"))
    names = [f"{each['kind']} {each['name']}" for each in report["schema"]["objects"]]
    return {test["id"].split("::")[1]: {names[number] for number in test["covered"]} for test in report["tests"]}


def test_workers(tests: Tests, shop: Project) -> None:
    """Under pytest-xdist what all workers touched is summed up."""
    alone = line(tests(SUITE, "--pristine-schema-cov"))
    assert line(tests(SUITE, "--pristine-schema-cov", "-p", "xdist", "-n2", "--dist=load")) == alone
    assert shop.path


def test_single_tests(tests: Tests, shop: Project) -> None:
    """Each test is credited with what it touched, also one that does not ask for clean_database."""
    tests(SUITE + UNCLEAN, "--pristine-report=report")
    known = covered(shop)
    assert "table written users" in known["test_writes"]
    assert "unique users_name_key" in known["test_provokes"]
    assert "unique users_name_key" not in known["test_writes"]
    assert "table written orders" not in known["test_unclean"]
    assert known["test_after"] == set()
