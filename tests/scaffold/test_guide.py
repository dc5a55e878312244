"""What the guide and the workflow tell people and machines to type can be typed."""

from __future__ import annotations

import json
import re
import shlex

from pytest_pristine import operating_system
from tests.conftest import Project
from tests.scaffold.conftest import GUIDE, WORKFLOW, commands, run_pytest, set_up, shell

_APP_TEST = """
    import app

    def test_app(clean_database):
        assert app.answer() == 42
"""


def blocks(project: Project, language: str) -> list[str]:
    """The blocks of the guide in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (project.path / GUIDE).read_text(), re.MULTILINE | re.DOTALL)


def test_the_command_measures(bare: Project) -> None:
    """Guide and workflow give the same command, and it measures the project's package, which need not be installed."""
    bare.write("app/__init__.py", "def answer():\n    return 42\n")
    bare.write("tests/test_app.py", _APP_TEST)
    set_up(bare)
    (command,) = [block.strip() for block in blocks(bare, "bash") if block.startswith("pytest ")]
    assert command == commands(bare)[1]
    run = shell(bare, command)
    assert run.status == 0, run.output
    assert "4 passed" in run.output
    assert re.search(r"^app/__init__\.py +2 +0 +0 +0 +100%", run.output, re.MULTILINE), run.output
    assert "No data was collected" not in run.output


def test_nothing_is_measured_yet(bare: Project) -> None:
    """Before a test uses the project's code the command passes, with the warning that the guide explains."""
    bare.write("app/__init__.py", "def answer():\n    return 42\n")
    set_up(bare)
    run = shell(bare, commands(bare)[1])
    assert run.status == 0, run.output
    assert "No data was collected" in run.output
    assert '("No data was collected": no test uses the project\'s code yet)' in (bare.path / GUIDE).read_text()


def test_what_is_installed_is_there(bare: Project) -> None:
    """Guide and workflow install the same, and pip understands it."""
    bare.write("requirements.txt", "sqlalchemy\n")
    set_up(bare)
    install = commands(bare)[0]
    assert blocks(bare, "bash")[0].strip() == install
    words = shlex.split(install)
    assert words == ["pip", "install", "--requirement", "requirements.txt", "pytest-pristine", "pytest-cov"]
    # All of it is installed in this environment: nothing is fetched.
    run = shell(bare, f"{install} --dry-run --no-index --disable-pip-version-check --root-user-action=ignore")
    assert run.status == 0, run.output


def test_the_example_is_a_test(bare: Project) -> None:
    """The guide's example, with a statement in it, passes."""
    set_up(bare)
    (example,) = blocks(bare, "python")
    bare.write("tests/test_something.py", example.replace('"..."', "\"INSERT INTO users (name) VALUES ('ada')\""))
    run = run_pytest(bare)
    assert "4 passed" in run.output, run.output


def test_a_server_of_your_own(bare: Project) -> None:
    """The guide's server without Docker answers at the guide's URL, and pytest uses it."""
    set_up(bare)
    text = (bare.path / GUIDE).read_text()
    (up,) = re.findall(r"`(pristine up [^`]*)`", text)
    (export,) = re.findall(r"^export TEST_DATABASE_URL=.*$", text, re.MULTILINE)
    # The guide's port may be in use on this machine.
    port = str(operating_system.free_port("127.0.0.1"))
    lines = [up, export, "pytest", f"pristine down --port {port}"]
    run = shell(bare, " && ".join(lines).replace("55432", port))
    assert run.status == 0, run.output
    assert "(TEST_DATABASE_URL, database app_test)" in run.output
    assert "3 passed" in run.output


def test_its_links_lead_somewhere(bare: Project) -> None:
    """The guide's link to the first test is relative to the guide."""
    bare.write("tests/integration/conftest.py", "")
    set_up(bare)
    links = re.findall(r"\]\((.*?)\)", (bare.path / GUIDE).read_text())
    assert links == ["../tests/integration/test_postgres.py"]
    assert ((bare.path / GUIDE).parent / links[0]).is_file()


def test_nothing_is_left_to_fill_in(bare: Project) -> None:
    """No name of a template is left in a file."""
    set_up(bare)
    for name in (GUIDE, WORKFLOW, "pytest.ini"):
        assert not re.search(r"\$\w", (bare.path / name).read_text())


def test_the_workflow_is_yaml(bare: Project) -> None:
    """A command that would mean something else to YAML stands in quotes, and is the same command to a shell."""
    name = 'requirements: "all" #1.txt'
    bare.write(name, "")
    set_up(bare)
    install, command = commands(bare)
    assert shlex.split(json.loads(install))[2:4] == ["--requirement", name]
    assert command == "pytest tests --cov --cov-branch --cov-report=term-missing"
