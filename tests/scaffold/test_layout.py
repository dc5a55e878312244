"""What is found in a project decides where the files go, and what stands in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pristine.scaffold import revisions, survey
from tests.conftest import Project
from tests.scaffold.conftest import GUIDE, WORKFLOW, commands, init, set_up


def planned(project: Project) -> set[str]:
    """The files that would be written."""
    lines = init(project, "--dry-run").output.splitlines()
    return {line.removeprefix("+++ b/") for line in lines if line.startswith("+++ b/")}


def make(root: Path, *names: str) -> Path:
    """Make empty files."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("there", "configured", "place"),
    [
        ([], [], "tests"),
        (["tests"], [], "tests"),
        (["test"], [], "test"),
        (["test/integration", "tests"], [], "tests"),
        (["tests/integration", "test"], [], "tests/integration"),
        (["tests", "checks/integration"], ["checks"], "checks/integration"),
        (["tests", "a b"], ["a b", "tests"], "a b"),
        (["tests"], ["gone", "./tests"], "tests"),
        (["test"], ["gone", "/tmp"], "test"),  # noqa: S108 - outside of the project
    ],
)
def test_where_tests_are(tmp_path: Path, there: list[str], configured: list[str], place: str) -> None:
    """The first test goes where pytest looks, among the integration tests if there are any."""
    root = make(tmp_path, *(f"{name}/conftest.py" for name in there))
    assert survey._tests(root, configured) == Path(place)


@pytest.mark.parametrize(
    ("there", "packages"),
    [
        (["app/__init__.py", "tests/__init__.py", "migrations/__init__.py"], ("app",)),
        (["two/__init__.py", "one/__init__.py"], ("one", "two")),
        (["src/app/__init__.py", "tools/__init__.py"], ("app",)),
        (["src/main.c", "tools/__init__.py"], ("tools",)),
        (["app.py"], ()),
    ],
)
def test_packages(tmp_path: Path, there: list[str], packages: tuple[str, ...]) -> None:
    """The packages are those in `src`, or those in the root that are no tests."""
    assert survey._packages(make(tmp_path, *there)) == packages


@pytest.mark.parametrize(
    ("there", "pyproject", "install", "pythonpath"),
    [
        (["setup.py"], {}, "--editable .", None),
        (["requirements.txt"], {"build-system": {}}, "--editable .", None),
        (["requirements.txt", "requirements-dev.txt"], {},
         "--requirement requirements-dev.txt --requirement requirements.txt", "."),
        (["requirements $x.txt", "src/app/__init__.py"], {}, "--requirement 'requirements $x.txt'", "src"),
        ([], {"project": {"name": "x"}}, "", "."),
    ],
)  # fmt: skip
def test_how_it_is_imported(
    tmp_path: Path, there: list[str], pyproject: dict[str, object], install: str, pythonpath: str | None
) -> None:
    """A project that can be built is installed; of another its requirements are, and it is imported as it lies."""
    root = make(tmp_path, *there)
    assert survey._install(root, pyproject) == install
    assert survey._pythonpath(root, pyproject) == pythonpath


@pytest.mark.parametrize(
    ("requires", "python"),
    [("", "3.11"), (">=3.13", "3.13"), ("<3.12", "3.11"), (">=3.11.4", "3.11"), ("nonsense", "3.11"), (">=4", "3.11")],
)
def test_the_version_of_python(requires: str, python: str) -> None:
    """The workflow takes a Python that the project admits."""
    assert survey._python({"project": {"requires-python": requires}}) == python


@pytest.mark.parametrize(
    ("patterns", "name"),
    [
        (["test_*.py", "*_test.py"], "test_postgres.py"),
        (["*_test.py"], "postgres_test.py"),
        (["test_*"], "test_postgres.py"),
        (["tests", "check_*.py"], "check_postgres.py"),
        ([], "test_postgres.py"),
    ],
)
def test_the_name_of_the_first_test(patterns: list[str], name: str) -> None:
    """Its name is one by which pytest knows a file of tests."""
    assert survey._first_test(patterns) == name


def test_all_of_it(bare: Project) -> None:
    """What is found reaches the files: the place, the packages, the requirements and the version of Python."""
    make(bare.path, "checks/test_own.py", "app/__init__.py", "requirements.txt")
    bare.write("pytest.ini", "[pytest]\ntestpaths = checks\n")
    bare.write("pyproject.toml", "[project]\nname = 'x'\nversion = '1'\nrequires-python = '>=3.13'\n")
    set_up(bare)
    assert commands(bare) == [
        "pip install --requirement requirements.txt pytest-pristine pytest-cov",
        "pytest checks --cov=app --cov-branch --cov-report=term-missing",
    ]
    assert '          python-version: "3.13"\n' in (bare.path / WORKFLOW).read_text()
    assert "[`checks/test_postgres.py`](../checks/test_postgres.py)" in (bare.path / GUIDE).read_text()
    assert (bare.path / "checks/test_postgres.py").is_file()


def test_nothing_tells_how_to_install(bare: Project) -> None:
    """When nothing tells how the project is installed, it is said where to add it."""
    note = (
        "note: no setup.py, no [build-system] in pyproject.toml and no requirements*.txt tells how this project is "
        "installed: add it to docs/testing-with-postgres.md and .github/workflows/tests.yml\n"
    )
    assert note in init(bare, "--dry-run").output
    make(bare.path, "requirements.txt")
    assert "tells how" not in init(bare, "--dry-run").output


def test_a_part_of_a_repository(bare: Project) -> None:
    """In a directory of a repository no workflow is written, for GitHub would not read it there."""
    (bare.path / ".git").mkdir()
    assert WORKFLOW in planned(bare)
    service = Project(bare.path / "service", bare.environ)
    bare.write("service/alembic.ini", "[alembic]\nscript_location = ../migrations\n")
    run = init(service, "--dry-run")
    assert WORKFLOW not in planned(service)
    assert (
        f"note: GitHub reads no workflow but those in {bare.path / '.github/workflows'}: none is written\n"
        in run.output
    )


def test_a_configuration_above(bare: Project) -> None:
    """That another file configured pytest so far is said, since the new one takes its place."""
    service = Project(bare.path / "service", bare.environ)
    bare.write("service/alembic.ini", "[alembic]\nscript_location = ../migrations\n")
    outer = bare.write("pyproject.toml", "[tool.pytest.ini_options]\naddopts = '-ra'\n")
    run = init(service, "--dry-run")
    assert f"note: {outer} configures pytest so far: in this directory pytest.ini takes its place\n" in run.output
    bare.write("pyproject.toml", "[project]\nname = 'x'\n")
    assert "takes its place" not in init(service, "--dry-run").output


_OWN_ENGINE = "from sqlalchemy import create_engine\nengine = create_engine('postgresql:///x')\n"
_SETS_URL = "from alembic import context\ncontext.config.set_main_option('sqlalchemy.url', 'postgresql:///x')\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (_OWN_ENGINE, "migrations/env.py seems to take its database from elsewhere than Alembic's configuration"),
        (_SETS_URL, "migrations/env.py sets sqlalchemy.url itself, over the one that it is given"),
        ("if", "migrations/env.py is no Python: invalid syntax, line 1"),
        (None, "there is no migrations/env.py"),
    ],
)
def test_an_env_py_to_doubt(bare: Project, text: str | None, reason: str) -> None:
    """An env.py that will hardly migrate our database is told by its text."""
    path = bare.path / "migrations/env.py"
    assert revisions.doubt(bare.path / "alembic.ini", bare.path) is None
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    assert revisions.doubt(bare.path / "alembic.ini", bare.path) == reason


def test_a_doubt_is_said(bare: Project) -> None:
    """Whoever has such an env.py is told the ways out."""
    bare.write("migrations/env.py", _SETS_URL)
    assert (
        "note: migrations/env.py sets sqlalchemy.url itself, over the one that it is given: "
        'make it use config.attributes["connection"] or config.get_main_option("sqlalchemy.url"), '
        "or override apply_migrations\n"
    ) in init(bare, "--dry-run").output
