"""Coverage measured, with branches: what must turn it red, in runs as users run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_pristine.verify.code_coverage import Circumstances, judge
from tests.conftest import DEADLINE, Home, Project, lay_out

_CONFTEST = """
    import os
    import pytest
    from pytest_pristine.plugin import measuring

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(session):
        if "PYTEST_XDIST_WORKER" not in os.environ:
            item = measuring.judge(session.config)
            assert item.state == "passed" or item.remedy
            assert item.state != "failed" or item.offenders
            with open("item", "w") as file:
                print(item.state, item.found, *item.offenders, sep=" | ", file=file)
"""
_COV = ("-p", "pytest_cov", "--cov-report=term")
_PASSED = "passed | 4 modules of shop, with branches"


@pytest.fixture
def project(tmp_path: Path, shared_home: Home) -> Project:
    """A project with a package of which the tests import everything, and that needs no database."""
    made = lay_out(tmp_path / "here", shared_home)
    (made.path / "test_users.py").unlink()
    made.write("conftest.py", _CONFTEST)
    made.write("shop/__init__.py", '"""The shop."""\n\nNAME = "shop"\n')
    made.write("shop/orders.py", "def total(prices):\n    return sum(prices) if prices else 0\n")
    made.write("shop/parts/__init__.py", "")
    made.write("shop/parts/wheels.py", "NUMBER = 4\n")
    made.write("shop/parts/seats.py", "NUMBER = 5\n")
    made.write("test_shop.py", """
        def test_orders():
            from shop import orders
            assert orders.total([1, 2]) == 3

        def test_parts():
            from shop.parts import seats, wheels
            assert wheels.NUMBER + seats.NUMBER == 9
    """)  # fmt: skip
    return made


def judged(project: Project, *arguments: str, status: int = 0, **environ: str) -> str:
    """Run the tests with pytest-cov; gives what was judged."""
    run = project.run(*_COV, *arguments, **environ)
    assert run.status == status, run.output
    return (project.path / "item").read_text().strip()


def test_passed(project: Project) -> None:
    """A package of which every module is imported, measured with branches, is good. An empty file does not matter."""
    assert judged(project, "--cov=shop", "--cov-branch") == _PASSED


@pytest.mark.parametrize("source", ["shop", "./shop", "{path}/shop"], ids=["package", "path", "absolute"])
@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "workers"])
def test_sources(project: Project, source: str, workers: tuple[str, ...]) -> None:
    """Packages and directories are as good, with workers too, of which none imports all."""
    found = judged(project, f"--cov={source.format(path=project.path)}", "--cov-branch", *workers)
    assert re.fullmatch(r"passed \| 4 modules of (\./)?shop, with branches", found)


def test_branches_in_the_configuration(project: Project) -> None:
    """Branches may be switched on in coverage's own configuration, and the package be named there."""
    project.write(".coveragerc", "[run]\nbranch = true\nsource = shop\n")
    assert judged(project, "--cov") == _PASSED


def test_modules(project: Project) -> None:
    """A module or subpackage may be named, with its dots."""
    assert judged(project, "--cov=shop.parts", "--cov=shop.orders", "--cov-branch").startswith("passed | 3 modules of ")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("-p", "no:pytest_cov"), "unknown | it was not measured"),
        (("-p", "pytest_cov"), "unknown | it was not measured"),
        (("-p", "pytest_cov", "--cov=shop", "--no-cov"), "unknown | it was switched off with --no-cov"),
    ],
)
def test_not_measured(project: Project, arguments: tuple[str, ...], found: str) -> None:
    """Without coverage there is no claim."""
    assert project.run(*arguments).status == 0
    assert (project.path / "item").read_text().strip() == found


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "workers"])
def test_branches_off(project: Project, workers: tuple[str, ...]) -> None:
    """Without branches it is red."""
    assert judged(project, "--cov=shop", *workers).startswith("failed | branch coverage is off | ")


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "workers"])
def test_a_misspelt_package(project: Project, workers: tuple[str, ...]) -> None:
    """A package of which there are no data is red, alone and beside one that is measured."""
    found = judged(project, "--cov=shop", "--cov=shpo", "--cov-branch", *workers)
    assert found == "failed | no data for shpo | shpo: no data"
    assert judged(project, "--cov=shpo", "--cov-branch", *workers) == "failed | no data was collected | shpo: no data"


def test_data_of_another_package_of_that_name(project: Project) -> None:
    """Data in a directory that was named are none of a package that has the name of a part of it."""
    project.write("other/shpo/__init__.py", "")
    project.write("other/shpo/things.py", "NUMBER = 1\n")
    project.write("other/__init__.py", "import other.shpo.things\n")
    project.write("test_other.py", "import other\n\ndef test_it():\n    pass\n")
    found = judged(project, "--cov=./other", "--cov=shop", "--cov=shpo", "--cov-branch")
    assert found == "failed | no data for shpo | shpo: no data"


@pytest.mark.parametrize("workers", [(), ("-p", "xdist", "-n", "2")], ids=["alone", "workers"])
def test_a_module_that_no_test_imported(project: Project, workers: tuple[str, ...]) -> None:
    """A module that no test imported is red, and named."""
    project.write("shop/forgotten.py", "NUMBER = 1\n")
    project.write("shop/parts/docs.py", '"""There is nothing to run in it."""\n')
    found = judged(project, "--cov=shop", "--cov-branch", *workers)
    assert found == "failed | 1 module that no test imported | shop/forgotten.py: no test imported it"


def test_what_is_left_out(project: Project) -> None:
    """What coverage is told to omit, while it measures or in the report, or as no cover, is left out."""
    for name in ("one", "two"):
        project.write(f"shop/{name}.py", "NUMBER = 1\n")
    project.write("shop/three.py", "NUMBER = 1  # pragma: no cover\n")
    project.write(".coveragerc", "[run]\nbranch = true\nomit = */one.py\n[report]\nomit = shop/two.py\n")
    assert judged(project, "--cov=shop") == _PASSED


def test_no_package_named(project: Project) -> None:
    """Measuring whatever is imported tells nothing of what is not: no claim."""
    found = judged(project, "--cov", "--cov-branch")
    assert found == "unknown | no package was named: modules that no test imports are not seen"


def test_the_whole_directory(project: Project) -> None:
    """Where a directory is measured, scripts that install it and tests that are not run are no modules of it."""
    project.write("setup.py", "NAME = 1\n")
    project.write("test_not_run.py", "def test_it():\n    pass\n")
    found = judged(project, "--cov=.", "--cov-branch", "test_shop.py")
    assert found.startswith("passed | "), found
    project.write("shop/forgotten.py", "NUMBER = 1\n")
    found = judged(project, "--cov=.", "--cov-branch", "test_shop.py")
    assert found == "failed | 1 module that no test imported | shop/forgotten.py: no test imported it"


@pytest.mark.parametrize("called", [True, False], ids=["used", "unused"])
def test_a_package_that_was_imported_too_early(project: Project, *, called: bool) -> None:
    """A module that was imported before coverage began is red, though its functions were measured."""
    project.write("early.py", "import shop.orders\n")
    if not called:
        project.write("test_shop.py", "import shop.parts.seats, shop.parts.wheels\ndef test_it():\n    pass\n")
    found = judged(project, "-p", "early", "--cov=shop", "--cov-branch")
    # pytest-cov begins when it is loaded, and plugins of the command line come first.
    assert found.startswith("failed | "), found
    assert "shop/orders.py: " in found


def test_a_namespace_package(project: Project) -> None:
    """A package without `__init__.py` is measured as well."""
    project.write("space/inner/things.py", "NUMBER = 1\n")
    project.write("test_space.py", "def test_it():\n    import space.inner.things\n")
    assert judged(project, "--cov=space", "--cov-branch") == "passed | 1 module of space, with branches"


def test_two_copies_of_a_package(project: Project) -> None:
    """Where tests import another copy of what is measured, it is red, and told which."""
    for name in ("__init__.py", "orders.py", "parts/__init__.py", "parts/wheels.py", "parts/seats.py"):
        project.write(f"src/shop/{name}", (project.path / "shop" / name).read_text())
    found = judged(project, "--cov=src/shop", "--cov=shop", "--cov-branch")
    assert found.startswith("failed | no data for src/shop | "), found


def test_a_worker_that_died(project: Project) -> None:
    """A worker that gave no data back is red, though another one took its place."""
    project.write("test_dies.py", "def test_dies():\n    import os\n    os._exit(1)\n")
    found = judged(project, "--cov=shop", "--cov-branch", "-p", "xdist", "-n", "2", status=1)
    assert found.startswith("failed | 1 worker gave no data back | worker gw"), found


def test_a_report_that_failed(project: Project) -> None:
    """A report that could not be generated is red."""
    project.write(".coveragerc", "[report]\ninclude = nothing/*\n")
    run = project.run(*_COV, "--cov=shop", "--cov-branch")
    assert "Failed to generate report: No data to report" in run.output
    assert (project.path / "item").read_text().startswith("failed | the report could not be generated | ")


def test_without_a_report(project: Project) -> None:
    """No report need be made."""
    assert judged(project, "--cov-report=", "--cov=shop", "--cov-branch") == _PASSED


def test_the_report_is_the_same(project: Project) -> None:
    """Reading the data changes neither the report nor the data on disk."""
    arguments = (*_COV, "--cov=shop", "--cov-branch", "--cov-fail-under=100")
    project.write("shop/forgotten.py", "NUMBER = 1\n")
    ours = project.run(*arguments)
    project.write("conftest.py", "")
    plain = project.run(*arguments)
    table = re.compile(r"^(?:shop/|TOTAL|Name|.*fail-under).*$", re.MULTILINE)
    assert table.findall(ours.output) == table.findall(plain.output) != []
    assert ours.status == plain.status == 1


def coverage_run(project: Project, *arguments: str) -> tuple[str, str]:
    """Run the tests under `coverage run`; gives its output and what was judged."""
    blocked = project.command()[3:]
    done = subprocess.run(
        [sys.executable, "-m", "coverage", "run", *arguments[:2], "-m", "pytest", *blocked, *arguments[2:]],
        cwd=project.path, env=dict(project.environ), capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr, (project.path / "item").read_text().strip()


def test_coverage_run(project: Project) -> None:
    """Without pytest-cov, under `coverage run`, it is the same, and coverage goes on."""
    assert coverage_run(project, "--branch", "--source=shop")[1] == _PASSED
    command = [sys.executable, "-m", "coverage", "report"]
    report = subprocess.run(command, cwd=project.path, capture_output=True, text=True, check=False)
    assert "shop/orders.py" in report.stdout
    assert coverage_run(project, "--branch", "--source=shop,shpo")[1] == "failed | no data for shpo | shpo: no data"
    assert coverage_run(project, "--source=shop", "--timid")[1].startswith("failed | branch coverage is off")


def test_warnings_of_coverage_run(project: Project) -> None:
    """Coverage warns at its end as it does without us."""
    output, _ = coverage_run(project, "--branch", "--source=shop,shpo")
    assert output.count("Module shpo was never imported") == 1


def test_coverage_run_with_workers(project: Project) -> None:
    """Workers are not measured by `coverage run`, unless it is told to; then their data come after the run."""
    xdist = ("-p", "xdist", "-n", "2")
    found = coverage_run(project, "--branch", "--source=shop", *xdist)[1]
    assert found.startswith("failed | 2 workers gave no data back | ")
    project.write(".coveragerc", "[run]\npatch = subprocess\nparallel = true\n")
    found = coverage_run(project, "--branch", "--source=shop", *xdist)[1]
    assert found.startswith("unknown | the data of the workers are combined after the run")


def test_the_monitoring_core(project: Project) -> None:
    """Data of coverage's other core are read the same; where Python has none, coverage takes its usual one."""
    # What it says of that is a warning.
    assert judged(project, "--cov=shop", "--cov-branch", COVERAGE_CORE="sysmon") == _PASSED


def test_nothing_given() -> None:
    """Without an object there is nothing to judge, whatever was asked."""
    item = judge(None, ["shop"], Circumstances())
    assert (item.key, item.title, item.state) == ("coverage", "coverage measured, with branches", "unknown")
    assert item.remedy == ("pytest --cov=<package> --cov-branch",)
    assert os.linesep not in item.found
