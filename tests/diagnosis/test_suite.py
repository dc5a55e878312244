"""pytest's configuration, our plugin and the project's tests."""

from __future__ import annotations

from collections.abc import Callable

from pytest_pristine import plugin
from pytest_pristine.diagnosis import suite
from tests.conftest import Project
from tests.diagnosis.conftest import PASSWORD, doctor


def test_all_is_well(project: Project) -> None:
    """The ini file, the plugin and the tests are named."""
    report = doctor(project)
    assert report.tell("suite", "configuration") == ("ok", "pytest.ini", [])
    assert report.tell("suite", "our plugin") == ("ok", "loaded", [])
    assert report.tell("suite", "tests") == ("ok", "1 file below .", [])
    assert report.status == 0


def test_the_plugin_is_switched_off(project: Project) -> None:
    """A plugin that `addopts` switches off has failed: its fixtures are missing."""
    project.write("pytest.ini", "[pytest]\naddopts = -p no:pristine\n")
    assert doctor(project).tell("suite", "our plugin") == (
        "failed", "switched off by -p no:pristine in addopts", ["remove it there"],
    )  # fmt: skip


def test_plugins_are_not_loaded(project: Project) -> None:
    """With PYTEST_DISABLE_PLUGIN_AUTOLOAD the plugin has to be named."""
    assert doctor(project, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1").tell("suite", "our plugin") == (
        "failed", "not loaded: PYTEST_DISABLE_PLUGIN_AUTOLOAD is set",
        ["unset it, or add to addopts: -p pytest_pristine.plugin"],
    )  # fmt: skip
    project.write("pytest.ini", "[pytest]\naddopts = -p pytest_pristine.plugin\n")
    assert doctor(project, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1").one("suite", "our plugin")["level"] == "ok"


def test_a_configuration_that_pytest_refuses(project: Project) -> None:
    """What pytest says is quoted, without passwords, and the rest of the file is read all the same."""
    project.write(
        "pytest.ini",
        f"[pytest]\naddopts = --nonsense=postgresql://u:{PASSWORD}@h/d\npristine_restore_timeout = 7\n",
    )
    report = doctor(project)
    level, found, remedy = report.tell("suite", "configuration")
    assert level == "failed"
    assert found.startswith("pytest cannot read it, and says:\n")
    assert "unrecognized arguments: --nonsense=" in found
    assert remedy == [f"correct {project.path / 'pytest.ini'}"]
    assert (
        report.one("settings", "pristine_restore_timeout")["found"] == "7 s  (pristine_restore_timeout in the ini file)"
    )


def test_options_of_a_conftest(project: Project) -> None:
    """An option that conftest.py defines and `addopts` uses is no mistake."""
    project.write("conftest.py", 'def pytest_addoption(parser):\n    parser.addoption("--ours")\n')
    project.write("pytest.ini", "[pytest]\naddopts = --ours=1 --pristine-linger=3\n")
    report = doctor(project)
    assert report.one("suite", "configuration")["level"] == "ok"
    assert report.one("settings", "pristine_linger")["found"] == "3 s  (--pristine-linger)"


def test_the_data_of_coverage_stays(project: Project) -> None:
    """To ask pytest what it reads does not remove the data of the last run, as pytest-cov does when it is loaded."""
    data = project.write(".coverage", "data")
    project.write("pytest.ini", "[pytest]\naddopts = --cov=nothing\n")
    assert doctor(project).one("suite", "configuration")["level"] == "ok"
    assert data.read_text() == "data"


def test_no_tests(bare: Callable[..., Project]) -> None:
    """A project without tests is warned."""
    assert doctor(bare("test_users.py")).tell("suite", "tests") == (
        "warning", "no file called test_*.py or *_test.py below .", ["write one: the README begins with one"],
    )  # fmt: skip


def test_testpaths(project: Project) -> None:
    """Tests are looked for where `testpaths` says, which may be patterns and files."""
    project.write("a/tests/test_a.py", "")
    project.write("b/tests/test_b.py", "")
    project.write("pytest.ini", "[pytest]\ntestpaths = */tests test_users.py\n")
    assert doctor(project).tell("suite", "tests") == ("ok", "3 files below */tests and test_users.py", [])
    project.write("pytest.ini", "[pytest]\ntestpaths = a/tests\npython_files = check_*.py\n")
    assert doctor(project).tell("suite", "tests")[:2] == ("warning", "no file called check_*.py below a/tests")


def test_fixtures_of_the_project(project: Project) -> None:
    """Fixtures of ours that the project replaces are named: that is what they are for."""
    project.write("tests/conftest.py", "def apply_migrations():\n    pass\n\ndef clean_database():\n    pass\n")
    assert doctor(project).tell("suite", "fixtures") == (
        "ok", "tests/conftest.py has its own apply_migrations and clean_database", [],
    )  # fmt: skip


def test_a_broken_conftest(project: Project) -> None:
    """A conftest.py that is no Python has failed."""
    project.write("tests/conftest.py", "def (\n")
    assert doctor(project).tell("suite", "tests/conftest.py") == (
        "failed", "it is no Python", ["correct tests/conftest.py"],
    )  # fmt: skip


def test_the_fixtures_are_ours() -> None:
    """The names that are looked for are those of the plugin."""
    assert set(suite.FIXTURES) == {name for name in plugin.__all__ if not name.startswith(("_", "pytest_"))}
